// `sluice version`: what this program was built with.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "codec/container.h"
#include "codec/frame.h"
#include "codec/profile.h"
#include "integration/programs/command_line.h"
#include "integration/programs/version.h"
#include "kernels/table.h"

namespace sluice::programs {
namespace {

ExitCode print_version(bool json) {
  const std::string_view kernels = kernels::available_kernels().front().name;
  if (json) {
    const nlohmann::json told = {{"version", build_facts().version},
                                 {"kernels", kernels},
                                 {"ucx", build_facts().has_ucx},
                                 {"llama_cpp", build_facts().has_llama_cpp},
                                 {"formats",
                                  {{"frame", codec::kFrameVersion},
                                   {"container", codec::kContainerVersion},
                                   {"profile", codec::kProfileVersion}}}};
    std::printf("%s\n", told.dump().c_str());
  } else {
    std::printf("sluice %s kernels=%s ucx=%s llama_cpp=%s\n", build_facts().version, std::string(kernels).c_str(),
                build_facts().has_ucx ? "yes" : "no", build_facts().has_llama_cpp ? "yes" : "no");
  }
  return ExitCode::kOk;
}

}  // namespace

void add_version_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("version", "version, kernels and parts of this build");
  command->callback([&invocation] { invocation.run = [&invocation] { return print_version(invocation.json); }; });
}

}  // namespace sluice::programs
