// `sluice demo` and `sluice link`: the comparison of all schemes on shaped links, and the shaped link by itself.
#include <csignal>
#include <filesystem>
#include <memory>

#include "integration/demo/demo.h"
#include "integration/demo/forwarder.h"
#include "integration/demo/plan.h"
#include "integration/programs/command_line.h"
#include "scheduler/policy.h"
#include "transport/asio.h"

namespace sluice::programs {
namespace {

namespace demo = integration::demo;

/// The options as typed.
struct DemoArguments {
  demo::DemoOptions options;
  std::vector<std::string> links;
  std::string scene = "both";
  std::string rtt;
  std::string deadline;
};

/// The path of this program, which the demo starts again as daemons and link.
std::string own_path() {
  std::error_code failure;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", failure);
  return failure ? "sluice" : path.string();
}

ExitCode run_demo_command(DemoArguments arguments) {
  demo::DemoOptions& options = arguments.options;
  options.links = demo::default_links(options.quick);
  if (!arguments.links.empty()) options.links.clear();
  for (const std::string& text : arguments.links) {
    const Result<BitsPerSecond> rate = demo::parse_rate(text);
    if (!rate) return fail(ExitCode::kUsage, "--link has '" + text + "'; write each as 10Mbit, 1Gbit or 500kbit");
    options.links.push_back({demo::rate_name(*rate), *rate});
  }
  if (arguments.scene != "both") {
    options.scenes = {arguments.scene == "reuse" ? demo::Scene::kReuse : demo::Scene::kHandOver};
  }
  for (const auto& [text, name, target] : {std::tuple{&arguments.rtt, "--rtt", &options.rtt},
                                           std::tuple{&arguments.deadline, "--deadline", &options.deadline}}) {
    if (text->empty()) continue;
    const Result<Duration> span = parse_duration(*text);
    if (!span) return fail(ExitCode::kUsage, std::string(name) + " is '" + *text + "'; write it as 500ms or 2s");
    *target = *span;
  }
  if (!options.model.empty() && !std::filesystem::exists(options.model)) {
    return fail(ExitCode::kUsage, "--model " + options.model + " does not exist; './dev setup' fetches one");
  }
  if (!options.policy.empty() && !scheduler::make_policy(options.policy, {})) {
    return fail(ExitCode::kUsage,
                "--policy is '" + options.policy + "'; write it as planner.policy in 'sluice config init'");
  }
  if (options.profile == "none") options.profile.clear();
  if (!options.profile.empty() && !std::filesystem::exists(options.profile)) {
    return fail(ExitCode::kUsage,
                "--profile " + options.profile + " does not exist; give the file that 'sluice codec calibrate' wrote");
  }
  return static_cast<ExitCode>(demo::run_demo(options, own_path()));
}

/// `sluice link` as typed.
struct LinkArguments {
  std::string listen;
  std::string to;
  std::string rate;
  std::string delay;
  std::int64_t flip_after = -1;
  std::int64_t stall_after = -1;
};

Result<demo::ForwarderOptions> forwarder_options(const LinkArguments& arguments) {
  demo::ForwarderOptions options{.listen = arguments.listen, .target = arguments.to};
  if (!arguments.rate.empty()) {
    SLUICE_ASSIGN(options.rate, demo::parse_rate(arguments.rate));
  }
  if (!arguments.delay.empty()) {
    SLUICE_ASSIGN(options.delay, parse_duration(arguments.delay));
  }
  if (arguments.flip_after >= 0) options.flip_after = Bytes(static_cast<std::uint64_t>(arguments.flip_after));
  if (arguments.stall_after >= 0) options.stall_after = Bytes(static_cast<std::uint64_t>(arguments.stall_after));
  return options;
}

ExitCode run_link_command(const LinkArguments& arguments) {
  const Result<demo::ForwarderOptions> options = forwarder_options(arguments);
  if (!options) return fail("link", options.error());
  transport::asio::io_context loop;
  const auto forwarder = demo::Forwarder::open(loop, *options);
  if (!forwarder) return fail("link", forwarder.error());
  std::printf("link: listening on port %u\n", static_cast<unsigned>((*forwarder)->port()));
  std::fflush(stdout);
  loop.run();  // until a signal ends the program
  return ExitCode::kOk;
}

}  // namespace

void add_demo_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("demo", "compare all schemes between two daemons on shaped links");
  const auto arguments = std::make_shared<DemoArguments>();  // lives as long as the callback
  demo::DemoOptions& options = arguments->options;
  command->add_option("--model", options.model, "GGUF file; without one the recorded engine replays stored KV");
  command->add_option("--profile", options.profile,
                      "calibration profile (.slp) of the model for both daemons, or none");
  command->add_option("--prompt", options.prompt, "text file instead of the built-in text");
  command->add_option("--link", arguments->links, "rates, for instance 10Mbit,1Gbit")->delimiter(',');
  command->add_option("--scene", arguments->scene, "hand-over, reuse or both")
      ->check(CLI::IsMember({"hand-over", "reuse", "both"}));
  command->add_option("--rtt", arguments->rtt, "extra round trip time of the links, for instance 20ms");
  command->add_option("--deadline", arguments->deadline, "for every arm, instead of the stated rule");
  command->add_option("--policy", options.policy, "of the arm called Sluice: sluice, lossless, fixed:base+r1 ...");
  command->add_option("--emulation", options.emulation, "auto, namespaces (root) or forwarder")
      ->check(CLI::IsMember({"auto", "namespaces", "forwarder"}));
  command->add_flag("--quick", options.quick, "one link and shorter prompts: under a minute");
  command->add_flag("--keep", options.keep, "keep the daemons' logs and configurations");
  command->add_option("--json", options.json, "write every figure there; - for standard output");
  command->add_option("--report", options.report, "write the HTML page there; sluice-demo.html by default");
  command->callback(
      [&invocation, arguments] { invocation.run = [arguments] { return run_demo_command(*arguments); }; });
}

void add_link_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("link", "forward TCP at a stated rate and delay, with faults on demand");
  const auto arguments = std::make_shared<LinkArguments>();  // lives as long as the callback
  command->add_option("--listen", arguments->listen, "host:port to take connections on; port 0 takes any")->required();
  command->add_option("--to", arguments->to, "host:port to pass them on to")->required();
  command->add_option("--rate", arguments->rate, "of each direction, for instance 10Mbit; unlimited without");
  command->add_option("--delay", arguments->delay, "one way, for instance 5ms");
  command->add_option("--flip-after", arguments->flip_after, "flip a bit after so many bytes towards the listener");
  command->add_option("--stall-after", arguments->stall_after,
                      "pass nothing on after so many bytes towards the listener");
  command->callback(
      [&invocation, arguments] { invocation.run = [arguments] { return run_link_command(*arguments); }; });
}

}  // namespace sluice::programs
