// One prompt from "I want its first token" to its tokens: fetches the KV (or computes it), publishes it to the engine,
// generates, and reports where the time went. Speaks JSON, since its callers are the admin port, tools and the demo.
// Invariants: exactly one answer per request; an engine never sees KV that a fetch did not hand over whole.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "integration/cost_probe.h"
#include "integration/decode_service.h"
#include "integration/node_context.h"

namespace sluice::integration {

/// HTTP status and body.
using Answer = std::function<void(int, nlohmann::json)>;

/// A peer that a request can go to, or why there is none.
using FindSession = std::function<Result<transport::Session*>(const std::string& peer)>;

/// Threads: the loop's.
class RequestService {
 public:
  struct Options {
    std::string policy = "sluice";
    PartsPerMillion quality_floor;
    PartsPerMillion quality_target{1'000'000};
    Duration deadline = std::chrono::seconds(2);
    /// As measured at start; corrected by every request. Without a prefill time recompute is no option.
    EngineCosts costs;
  };
  RequestService(const NodeContext& context, DecodeService& decode, FindSession find_session, Options options);
  ~RequestService();

  /// Body: {"text" or "tokens", "mode": "handover" | "reuse" | "recompute", "peer", "deadline_ms",
  /// "deadline_kind": "hard" | "soft", "policy", "generate", "keep_reference", "score_against"}.
  /// Answers 400 with {"error", "message"} on a wrong body, 200 otherwise, whatever became of the request.
  void run(const nlohmann::json& body, Answer answer);
  /// The answer to a recent request; null when it is not known.
  nlohmann::json find(RequestId request) const;

 private:
  struct Job;
  struct Reference;

  Result<std::shared_ptr<Job>> parse(const nlohmann::json& body, std::string& problem) const;
  void begin(const std::shared_ptr<Job>& job);
  void fetch(const std::shared_ptr<Job>& job);
  void on_fetched(const std::shared_ptr<Job>& job, FetchOutcome outcome);
  void publish_and_generate(const std::shared_ptr<Job>& job);
  Error compute(Job& job);
  void score(Job& job, const Reference& reference);
  void finish(const std::shared_ptr<Job>& job);
  /// What a prompt needs between its KV's arrival and its first token.
  Duration first_token_reserve(const Job& job) const;
  void learn(const Job& job);
  nlohmann::json report(const Job& job) const;

  const NodeContext& context_;
  DecodeService& decode_;
  FindSession find_session_;
  Options options_;
  std::map<std::string, std::shared_ptr<const Reference>> references_;
  std::map<RequestId, nlohmann::json> recent_;
};

}  // namespace sluice::integration
