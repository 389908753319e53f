#include "integration/programs/command_line.h"

#include <charconv>
#include <cstdio>

namespace sluice::programs {
namespace {

constexpr Duration kLongestDuration = std::chrono::hours(1);

/// One line, whatever the message holds.
std::string one_line(std::string_view message) {
  std::string line;
  for (const char letter : message) line += letter >= 0 && letter < ' ' ? ' ' : letter;
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace

ExitCode exit_code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk:
      return ExitCode::kOk;
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnknownKey:
    case ErrorCode::kConfigInvalid:
      return ExitCode::kUsage;
    case ErrorCode::kUnreachable:
    case ErrorCode::kPeerLost:
    case ErrorCode::kPeerSilent:
      return ExitCode::kUnreachable;
    case ErrorCode::kDeadlineMissed:
      return ExitCode::kMissed;
    case ErrorCode::kIncompatibleVersion:
    case ErrorCode::kIncompatibleModel:
    case ErrorCode::kIncompatibleLayout:
    case ErrorCode::kIncompatibleEngine:
    case ErrorCode::kTlsMismatch:
    case ErrorCode::kCertificateMissing:
    case ErrorCode::kCertificateExpired:
    case ErrorCode::kCertificateUntrusted:
    case ErrorCode::kNameNotProven:
      return ExitCode::kIncompatible;
    default:
      return ExitCode::kFailed;
  }
}

ExitCode fail(ExitCode code, std::string_view message) {
  std::fprintf(stderr, "sluice: %s\n", one_line(message).c_str());
  return code;
}

ExitCode fail(std::string_view what, const Error& error) {
  std::string message(what);
  message += ": ";
  message += error_name(error.code);
  if (error.where[0] != '\0') message += std::string(" (") + error.where + ")";
  message += ": ";
  message += error_hint(error.code);
  return fail(exit_code_of(error.code), message);
}

Result<Duration> parse_duration(std::string_view text) {
  const Error wrong{ErrorCode::kInvalidArgument, 0, "duration"};
  std::uint64_t count = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (failure != std::errc() || count == 0) return wrong;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const std::uint64_t scale = unit == "us"   ? 1'000U
                              : unit == "ms" ? 1'000'000U
                              : unit == "s"  ? 1'000'000'000U
                              : unit == "m"  ? 60'000'000'000U
                                             : 0U;
  if (scale == 0 || count > static_cast<std::uint64_t>(kLongestDuration.count()) / scale) return wrong;
  return Duration(static_cast<std::int64_t>(count * scale));
}

std::optional<NodeCall> read_node_call(std::string_view option, const std::string& node, const std::string& deadline) {
  const Result<integration::Address> address = integration::parse_address(node);
  if (!address || address->port == 0) {
    fail(ExitCode::kUsage,
         std::string(option) + " is '" + node + "'; write it as host:port, for instance 127.0.0.1:7411");
    return std::nullopt;
  }
  const Result<Duration> span = parse_duration(deadline);
  if (!span) {
    fail(ExitCode::kUsage, "--deadline is '" + deadline + "'; write it as 500ms, 2s or 1m");
    return std::nullopt;
  }
  return NodeCall{*address, *span};
}

void add_config_arguments(CLI::App& command, ConfigArguments& arguments) {
  command.add_option("--config", arguments.file, "TOML file; 'sluice config init' prints one");
  command.add_option("--set", arguments.settings, "section.key=value; wins over file and environment")
      ->allow_extra_args(false);
}

std::optional<integration::LoadedConfig> load(const ConfigArguments& arguments) {
  integration::ConfigSources sources;
  if (!arguments.file.empty()) sources.file = arguments.file;
  sources.environment = integration::process_environment();
  sources.settings = arguments.settings;
  integration::LoadedConfig loaded = integration::load_config(sources);
  for (const integration::ConfigProblem& problem : loaded.problems) fail(ExitCode::kUsage, problem.message);
  if (!loaded.problems.empty()) return std::nullopt;
  return loaded;
}

}  // namespace sluice::programs
