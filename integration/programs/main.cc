// The program `sluice`: reads the command line, runs one command, returns a pinned exit code.
// Invariant: whatever was typed, a failure is one line on standard error that says what to do; never a stack trace.
#include <csignal>
#include <cstdio>
#include <exception>

#include "integration/nearest.h"
#include "integration/programs/command_line.h"

namespace sluice::programs {
namespace {

/// "sluice serve" for the command that was being read when it went wrong.
std::string path_of(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  if (chosen.empty()) return app.get_name();
  return app.get_name() + " " + path_of(*chosen.front());
}

std::string advice_for(const CLI::App& app, const CLI::ParseError& problem) {
  const CLI::App* deepest = &app;
  while (!deepest->get_subcommands().empty()) deepest = deepest->get_subcommands().front();
  const std::vector<std::string> extra = app.remaining(true);
  if (!extra.empty()) {
    std::vector<std::string> words;
    for (const CLI::App* command : deepest->get_subcommands({})) words.push_back(command->get_name());
    for (const CLI::Option* option : deepest->get_options()) words.push_back("--" + option->get_single_name());
    const std::vector<std::string_view> known(words.begin(), words.end());
    const std::string_view near = integration::nearest_word(extra.front(), known);
    return "unknown argument '" + extra.front().substr(0, 80) + "'" +
           (near.empty() ? "" : "; did you mean '" + std::string(near) + "'?");
  }
  return problem.what();
}

ExitCode run(int count, char** words) {
  CLI::App app("delivers a prompt's KV cache before a deadline, at the best quality that the link allows", "sluice");
  Invocation invocation;
  std::string format = "table";
  app.add_option("--format", format, "table or json")->check(CLI::IsMember({"table", "json"}));
  app.add_flag("--json", invocation.json, "short for --format json");
  app.require_subcommand(1);
  app.fallthrough();
  add_version_command(app, invocation);
  add_bench_command(app, invocation);
  add_config_command(app, invocation);
  add_doctor_command(app, invocation);
  add_codec_command(app, invocation);
  add_ask_commands(app, invocation);
  add_demo_command(app, invocation);
  add_link_command(app, invocation);
  add_sim_command(app, invocation);
  add_trace_commands(app, invocation);
  add_node_commands(app, invocation);
  try {
    app.parse(count, words);
  } catch (const CLI::ParseError& problem) {
    if (problem.get_exit_code() == 0) {  // --help
      std::fputs(app.help().c_str(), stdout);
      return ExitCode::kOk;
    }
    return fail(ExitCode::kUsage, advice_for(app, problem) + "; see '" + path_of(app) + " --help'");
  }
  invocation.json = invocation.json || format == "json";
  return invocation.run ? invocation.run() : fail(ExitCode::kUsage, "no command; see 'sluice --help'");
}

}  // namespace
}  // namespace sluice::programs

int main(int count, char** words) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of write(), not the end of a node
  try {
    return static_cast<int>(sluice::programs::run(count, words));
  } catch (const std::exception& problem) {  // of a library that throws where we could not foresee it
    using sluice::programs::ExitCode;
    const std::string text = std::string("unexpected: ") + problem.what() + "; please report this";
    return static_cast<int>(sluice::programs::fail(ExitCode::kFailed, text));
  }
}
