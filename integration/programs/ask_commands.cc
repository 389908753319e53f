// `sluice status|links|request|drain --node HOST:PORT`: questions to a running daemon's admin port.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "integration/http_client.h"
#include "integration/programs/command_line.h"

namespace sluice::programs {
namespace {

struct AskArguments {
  std::string node = "127.0.0.1:7412";
  std::string deadline = "10s";
  std::string body;
};

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
  std::printf("%s\n", answer.is_discarded() ? response->body.c_str() : answer.dump(json ? -1 : 2).c_str());
  const bool late = answer.is_object() && answer.contains("on_time") && answer["on_time"] == false;
  if (answer.is_object() && answer.value("outcome", "") == "failed") {
    return fail(ExitCode::kFailed, "the request failed: " + answer.value("error", "unknown") + "; see 'reason' above");
  }
  if (late)
    return fail(ExitCode::kMissed, "the first token came after the deadline; allow more time or lower the floor");
  return ExitCode::kOk;
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
                                   Question{"links", "GET", "/v1/links", "its peers, what carries KV and why"},
                                   Question{"drain", "POST", "/v1/drain", "take no new requests, finish running ones"},
                                   Question{"request", "POST", "/v1/requests", "run one prompt on a daemon"}}) {
    CLI::App* command = app.add_subcommand(question.name, question.doc);
    const auto arguments = std::make_shared<AskArguments>();  // lives as long as the callback
    command->add_option("--node", arguments->node, "admin host:port of the daemon");
    command->add_option("--deadline", arguments->deadline, "for the answer, as 500ms, 2s or 1m");
    if (std::string_view(question.name) == "request") {
      command->add_option("BODY", arguments->body, "JSON as for POST /v1/requests")->required();
    }
    command->callback([&invocation, arguments, question] {
      invocation.run = [&invocation, arguments, question] {
        return ask(*arguments, question.method, question.target, invocation.json);
      };
    });
  }
}

}  // namespace sluice::programs
