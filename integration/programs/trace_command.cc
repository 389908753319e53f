// `sluice trace replay LOG` and `sluice explain REQUEST --log LOG`: what a daemon's decision log (planner.decision_log)
// shows: that the same events give the same decisions again, and why a request's decisions were taken.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "integration/decision_log.h"
#include "integration/decision_replay.h"
#include "integration/mapped_file.h"
#include "integration/programs/command_line.h"

namespace sluice::programs {
namespace {

using integration::LoggedStep;
using integration::MappedFile;
using nlohmann::json;

double milliseconds(Instant at) { return std::chrono::duration<double, std::milli>(at.since_start()).count(); }

std::string wake_text(Instant at) {
  return at == Instant::never() ? "never" : fmt::format("{:.6f} ms", milliseconds(at));
}

/// Actions, one a line, and when the policy wants to be asked again.
std::vector<std::string> answer_lines(const LoggedStep& step) {
  std::vector<std::string> lines;
  for (const scheduler::Action& action : step.actions) lines.push_back(scheduler::explain(action));
  lines.push_back("next look " + wake_text(step.wake_at));
  return lines;
}

json json_of(const integration::ReplayResult& result) {
  json told = {{"program", result.program},
               {"policies", result.policies},
               {"steps", result.steps},
               {"actions", result.actions},
               {"full", result.is_full},
               {"identical", !result.difference},
               {"error", error_name(result.error.code)}};
  if (result.difference) {
    told["difference"] = {{"at_byte", result.offset},
                          {"event", integration::describe(result.difference->logged.event)},
                          {"expected", answer_lines(result.difference->logged)},
                          {"got", answer_lines(result.difference->got)}};
  }
  return told;
}

void print_difference(const integration::ReplayResult& result) {
  const LoggedStep& logged = result.difference->logged;
  fmt::print("event {} at {:.6f} ms, byte {}: {}\n", result.steps, milliseconds(logged.now), result.offset,
             integration::describe(logged.event));
  for (const std::string& line : answer_lines(logged)) fmt::print("  expected {}\n", line);
  for (const std::string& line : answer_lines(result.difference->got)) fmt::print("  got      {}\n", line);
}

ExitCode replay(const std::string& path, bool as_json) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file) return fail(path, file.error());
  const integration::ReplayResult result = integration::replay(file->bytes());
  if (as_json) {
    fmt::print("{}\n", json_of(result).dump());
  } else {
    fmt::print("{}: {} events, {} actions, {} policies, by {}{}\n", path, result.steps, result.actions, result.policies,
               result.program, result.is_full ? "; the log was full then" : "");
    if (result.difference) print_difference(result);
  }
  if (result.difference) return fail(ExitCode::kMissed, "the planner answers otherwise than the log says; see above");
  if (result.error.code != ErrorCode::kOk) return fail(fmt::format("{} at byte {}", path, result.offset), result.error);
  if (!as_json) fmt::print("identical\n");
  return ExitCode::kOk;
}

bool speaks_of(const scheduler::Action& action, RequestId request) {
  return std::visit(
      [&](const auto& one) {
        if constexpr (std::is_same_v<std::decay_t<decltype(one)>, scheduler::Grant>) {
          return one.unit.request == request;
        } else {
          return one.request == request;
        }
      },
      action);
}

ExitCode explain(const std::string& path, std::uint64_t request, bool as_json) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file) return fail(path, file.error());
  auto reader = integration::DecisionLogReader::open(file->bytes());
  if (!reader) return fail(path, reader.error());
  json told = json::array();
  while (true) {
    const auto record = reader->next();
    if (!record) return fail(fmt::format("{} at byte {}", path, reader->offset()), record.error());
    if (!record->has_value()) break;
    const auto* step = std::get_if<LoggedStep>(&**record);
    if (step == nullptr) continue;
    for (const scheduler::Action& action : step->actions) {
      if (!speaks_of(action, RequestId(request))) continue;
      told.push_back({{"at_ms", milliseconds(step->now)},
                      {"event", integration::describe(step->event)},
                      {"decision", scheduler::explain(action)}});
      if (!as_json) fmt::print("{:.3f} ms  {}\n", milliseconds(step->now), scheduler::explain(action));
    }
  }
  if (told.empty()) return fail(ExitCode::kFailed, fmt::format("{} decides nothing about request {}", path, request));
  if (as_json) fmt::print("{}\n", told.dump());
  return ExitCode::kOk;
}

}  // namespace

void add_trace_commands(CLI::App& app, Invocation& invocation) {
  struct Arguments {
    std::string log;
    std::uint64_t request = 0;
  };
  const auto arguments = std::make_shared<Arguments>();  // lives as long as the callbacks that share it
  CLI::App* trace = app.add_subcommand("trace", "what a daemon's decision log shows");
  trace->require_subcommand(1);
  CLI::App* again = trace->add_subcommand("replay", "put a log back through the planner; 4 when it decides otherwise");
  again->add_option("LOG", arguments->log, "file of planner.decision_log")->required();
  again->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return replay(arguments->log, invocation.json); };
  });
  CLI::App* why = app.add_subcommand("explain", "each decision about a request, its reason and its inputs");
  why->add_option("REQUEST", arguments->request, "number of the request")->required();
  why->add_option("--log", arguments->log, "file of planner.decision_log")->required();
  why->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return explain(arguments->log, arguments->request, invocation.json); };
  });
}

}  // namespace sluice::programs
