// What every command of the program `sluice` shares: CLI11's door, exit codes, and how a failure is told.
// Invariant: a failure is one line on standard error that says what to do, and one of the pinned exit codes.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <CLI/CLI.hpp>
#pragma GCC diagnostic pop

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/address.h"
#include "integration/config.h"

namespace sluice::programs {

/// Pinned: scripts depend on them.
enum class ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kUnreachable = 3,
  kMissed = 4,  ///< a deadline or an assertion
  kIncompatible = 5,
};

/// What the command line said: CLI11 fills it, then main runs `run`.
struct Invocation {
  /// --format json
  bool json = false;
  /// Set by the chosen command's callback.
  std::function<ExitCode()> run;
};

/// The exit code that an error means.  Threads: pure.
ExitCode exit_code_of(ErrorCode code);

/// Prints "sluice: MESSAGE" as one line on standard error and returns `code`.
ExitCode fail(ExitCode code, std::string_view message);

/// The same for an error as a value: "sluice: WHAT: NAME (WHERE): HINT".
ExitCode fail(std::string_view what, const Error& error);

/// Reads "500ms", "2s", "250us" or "1m".
/// Errors:  kInvalidArgument for anything else, zero, or more than an hour.  Threads: pure.
Result<Duration> parse_duration(std::string_view text);

/// A node to ask, and how long to wait for it.
struct NodeCall {
  integration::Address address;
  Duration deadline;
};
/// Reads the host:port that `option` (for instance "--to") was given, and the --deadline; for what cannot be read
/// prints one line that says how to write it and gives nothing.
std::optional<NodeCall> read_node_call(std::string_view option, const std::string& node, const std::string& deadline);

/// --config FILE and --set KEY=VALUE of a command.
struct ConfigArguments {
  std::string file;
  std::vector<std::string> settings;
};
void add_config_arguments(CLI::App& command, ConfigArguments& arguments);

/// The configuration of this process; on problems prints one line for each and gives nothing.
std::optional<integration::LoadedConfig> load(const ConfigArguments& arguments);

/// Each of these adds its command to `app`; the command's callback sets invocation.run.
void add_version_command(CLI::App& app, Invocation& invocation);
/// bench.
void add_bench_command(CLI::App& app, Invocation& invocation);
/// bench transport; added by add_bench_command.
void add_transport_bench_command(CLI::App& bench, Invocation& invocation);
/// config check, explain, init.
void add_config_command(CLI::App& app, Invocation& invocation);
/// doctor.
void add_doctor_command(CLI::App& app, Invocation& invocation);
/// codec encode, decode, inspect.
void add_codec_command(CLI::App& app, Invocation& invocation);
/// codec calibrate; added by add_codec_command.
void add_calibrate_command(CLI::App& codec, Invocation& invocation);
/// codec compare; added by add_codec_command.
void add_compare_command(CLI::App& codec, Invocation& invocation);
/// codec rate; added by add_codec_command.
void add_rate_command(CLI::App& codec, Invocation& invocation);
/// status, links, drain, request: questions to a daemon.
void add_ask_commands(CLI::App& app, Invocation& invocation);
void add_demo_command(CLI::App& app, Invocation& invocation);
/// trace replay, explain.
void add_trace_commands(CLI::App& app, Invocation& invocation);
/// sim links.
void add_sim_command(CLI::App& app, Invocation& invocation);
void add_link_command(CLI::App& app, Invocation& invocation);
/// serve, send, fetch: what needs a node of its own.
void add_node_commands(CLI::App& app, Invocation& invocation);
/// send, fetch; added by add_node_commands.
void add_send_command(CLI::App& app, Invocation& invocation);
void add_fetch_command(CLI::App& app, Invocation& invocation);

}  // namespace sluice::programs
