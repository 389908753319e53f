// `sluice status|links|request|drain --node HOST:PORT`: questions to a running daemon's admin port.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.h"
#include "integration/http_client.h"
#include "integration/programs/command_line.h"

namespace sluice::programs {
namespace {

constexpr const char* kLinksPath = "/v1/links";
constexpr const char* kDrainPath = "/v1/drain";
constexpr Duration kDrainLook = std::chrono::milliseconds(50);

struct AskArguments {
  std::string node = "127.0.0.1:7412";
  std::string deadline = "10s";
  std::string body;
  std::string wait;
};

/// One line for each peer: what carries its KV and why, or why nothing does.
void print_links(const nlohmann::json& rows) {
  std::printf("%-16s %-22s %-10s %-9s %-5s %10s %9s  %s\n", "peer", "address", "state", "circuit", "data", "Mbit/s",
              "rtt ms", "reason");
  for (const nlohmann::json& row : rows) {
    std::printf("%-16s %-22s %-10s %-9s %-5s %10.1f %9.3f  %s\n", row.value("peer", "").c_str(),
                row.value("address", "").c_str(), row.value("state", "").c_str(), row.value("circuit", "").c_str(),
                row.value("data", "").c_str(), row.value("bits_per_second", 0.0) / 1e6, row.value("rtt_us", 0.0) / 1e3,
                row.value("reason", "").c_str());
  }
}

ExitCode ask(const AskArguments& arguments, const std::string& method, const std::string& target, bool json) {
  const std::optional<NodeCall> call = read_node_call("--node", arguments.node, arguments.deadline);
  if (!call) return ExitCode::kUsage;
  const Result<integration::HttpResponse> response =
      integration::call_http({call->address, {method, target, arguments.body}, call->deadline});
  if (!response) return fail("node " + arguments.node, response.error());
  const nlohmann::json answer = nlohmann::json::parse(response->body, nullptr, false);
  if (response->status != 200) {
    const bool has_message = answer.is_object() && answer.contains("message") && answer["message"].is_string();
    const std::string cause = has_message ? answer["message"].get<std::string>() : response->body.substr(0, 200);
    return fail(response->status == 400 ? ExitCode::kUsage : ExitCode::kFailed,
                "node " + arguments.node + " refused (" + std::to_string(response->status) + "): " + cause);
  }
  if (target == kLinksPath && !json && answer.is_array()) {
    print_links(answer);
    return ExitCode::kOk;
  }
  std::printf("%s\n", answer.is_discarded() ? response->body.c_str() : answer.dump(json ? -1 : 2).c_str());
  const bool late = answer.is_object() && answer.contains("on_time") && answer["on_time"] == false;
  if (answer.is_object() && answer.value("outcome", "") == "failed") {
    return fail(ExitCode::kFailed, "the request failed: " + answer.value("error", "unknown") + "; see 'reason' above");
  }
  if (late)
    return fail(ExitCode::kMissed, "the first token came after the deadline; allow more time or lower the floor");
  return ExitCode::kOk;
}

/// How many requests run on the node.
Result<std::uint64_t> running_requests(const NodeCall& call) {
  SLUICE_ASSIGN(const integration::HttpResponse response,
                integration::call_http({call.address, {"GET", "/v1/status", ""}, call.deadline}));
  const nlohmann::json status = nlohmann::json::parse(response.body, nullptr, false);
  const bool is_told = status.is_object() && status.contains("running_requests");
  if (!is_told || !status["running_requests"].is_number_unsigned())
    return Error{ErrorCode::kBadField, 0, "status of the node"};
  return status["running_requests"].get<std::uint64_t>();
}

ExitCode wait_until_idle(const AskArguments& arguments) {
  const std::optional<NodeCall> call = read_node_call("--node", arguments.node, arguments.deadline);
  const Result<Duration> wait = parse_duration(arguments.wait);
  if (!call) return ExitCode::kUsage;
  if (!wait) return fail(ExitCode::kUsage, "--wait is '" + arguments.wait + "'; write it as 500ms, 2s or 1m");
  const MonotonicClock clock;
  const Instant end = clock.now() + *wait;
  while (true) {
    const Result<std::uint64_t> running = running_requests(*call);
    if (!running) return fail("node " + arguments.node, running.error());
    if (*running == 0) return ExitCode::kOk;
    if (clock.now() >= end) {
      return fail(ExitCode::kMissed, std::to_string(*running) +
                                         " requests still run after --wait; allow more time, or end the node anyway");
    }
    std::this_thread::sleep_for(kDrainLook);
  }
}

}  // namespace

void add_ask_commands(CLI::App& app, Invocation& invocation) {
  struct Question {
    const char* name;
    const char* method;
    const char* target;
    const char* doc;
  };
  for (const Question& question : {Question{"status", "GET", "/v1/status", "what a daemon is and does"},
                                   Question{"links", "GET", kLinksPath, "its peers, what carries KV and why"},
                                   Question{"drain", "POST", kDrainPath, "take no new requests, finish running ones"},
                                   Question{"request", "POST", "/v1/requests", "run one prompt on a daemon"}}) {
    CLI::App* command = app.add_subcommand(question.name, question.doc);
    const auto arguments = std::make_shared<AskArguments>();  // lives as long as the callback
    command->add_option("--node", arguments->node, "admin host:port of the daemon");
    command->add_option("--deadline", arguments->deadline, "for the answer, as 500ms, 2s or 1m");
    if (std::string_view(question.name) == "request") {
      command->add_option("BODY", arguments->body, "JSON as for POST /v1/requests")->required();
    }
    if (std::string_view(question.target) == kDrainPath) {
      command->add_option("--wait", arguments->wait, "until nothing runs any more, as 500ms, 2s or 1m; else exit 4");
    }
    command->callback([&invocation, arguments, question] {
      invocation.run = [&invocation, arguments, question] {
        const ExitCode asked = ask(*arguments, question.method, question.target, invocation.json);
        return asked == ExitCode::kOk && !arguments->wait.empty() ? wait_until_idle(*arguments) : asked;
      };
    });
  }
}

}  // namespace sluice::programs
