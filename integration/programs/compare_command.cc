// `sluice codec compare`: starts the quality harness, a Python program of this tree, in place of this process. The
// harness runs this very program for Sluice's own rows. Invariant: everything after `compare` that is not an option
// named here goes to the harness as it was typed.
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "integration/programs/command_line.h"

namespace sluice::programs {
namespace {

/// Where the harness is and what runs it. Debian's own Python, since Debian's PyTorch belongs to it.
struct CompareArguments {
  std::string python = "/usr/bin/python3";
  std::string harness = SLUICE_QUALITY_HARNESS;
};

ExitCode start_harness(const CompareArguments& arguments, const std::vector<std::string>& passed) {
  if (!std::filesystem::exists(arguments.harness + "/__main__.py")) {
    return fail(ExitCode::kFailed, "codec compare: no harness at " + arguments.harness +
                                       ": give --harness, the folder integration/python/sluice/quality of the sources");
  }
  std::error_code fault;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", fault).string();
  std::vector<std::string> words = {arguments.python, arguments.harness, "compare"};
  if (!fault) words.insert(words.end(), {"--program", self});
  words.insert(words.end(), passed.begin(), passed.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(pointers.front(), pointers.data());
  return fail(ExitCode::kFailed, "codec compare: " + arguments.python + ": " + std::generic_category().message(errno) +
                                     ": give --python, or install it: ./dev quality setup");
}

}  // namespace

void add_compare_command(CLI::App& codec, Invocation& invocation) {
  CLI::App* command = codec.add_subcommand("compare", "bits against damage: Sluice and its peers on real models");
  const auto arguments = std::make_shared<CompareArguments>();  // lives as long as the callback that shares it
  command->add_option("--python", arguments->python, "a Python that has PyTorch (" + arguments->python + ")");
  command->add_option("--harness", arguments->harness, "folder of the harness (that of the sources)");
  command->set_help_flag();     // --help is the harness's
  command->fallthrough(false);  // else what is not known here goes to the program and not to the harness
  command->prefix_command();
  command->callback([&invocation, arguments, command] {
    invocation.run = [arguments, command] { return start_harness(*arguments, command->remaining()); };
  });
}

}  // namespace sluice::programs
