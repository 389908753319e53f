// One arm of the comparison as the decode daemon's API knows it: what is asked (POST /v1/requests), and what came of
// it. Place in the flow: runner -> daemon client -> here -> report. Fields that an answer lacks stay empty and are
// shown so.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "integration/demo/plan.h"

namespace sluice::integration::demo {

/// One request to the decode daemon.
struct ArmRequest {
  std::string text;
  std::string mode;    ///< handover, reuse or recompute
  std::string policy;  ///< not sent when empty
  Duration deadline{0};
  bool hard_deadline = false;  ///< hard: the daemon falls back by then; soft: late arrivals are delivered
  std::uint32_t generate = 1;
  std::string keep_reference;  ///< keep the logits of this arm under that name
  std::string score_against;   ///< measure KL against the logits kept under that name
};

/// Where the time to the first token went. In a hand-over the stages overlap, so they may sum up to more than it.
struct Split {
  Duration prefill{0};
  Duration encode{0};
  Duration wire{0};
  Duration decode{0};
  Duration inject{0};
  Duration first_token{0};
};

/// KL(reference || arm) over the teacher-forced tokens, in nats; top1: share of equal greedy choices.
struct Divergence {
  double mean = 0;
  double p99 = 0;
  double max = 0;
  double top1 = 0;
};

/// The prefill node's own times since it accepted the request; negative: not known.
struct PeerTiming {
  Duration prefill{-1};
  Duration encode{-1};
  Duration first_part_sent{-1};
  Duration prefill_end{-1};
};

/// What came of one request.
struct ArmResult {
  std::uint64_t request = 0;
  std::string outcome;  ///< delivered, recomputed or failed
  std::string error;
  std::string reason;
  Duration ttft{0};
  Split split;
  Bytes wire;
  Bytes raw;
  double bits_per_value = 0;
  std::map<std::string, std::uint64_t> parts;
  PartsPerMillion quality;
  std::vector<std::int64_t> tokens;
  std::string text;
  std::string logits_hash;
  bool approximate = false;  ///< the engine replayed its tokens instead of computing them from this KV
  std::optional<Divergence> divergence;
  PeerTiming peer;
};

/// The body of the request.  Threads: pure.
std::string request_body(const ArmRequest& request);
/// Reads the daemon's answer.
/// Errors:  kBadField when it is no JSON object or a field has another type than the API says.  Threads: pure.
Result<ArmResult> parse_answer(std::string_view body);
/// Adds what the sending daemon knows of the request (GET /v1/requests/ID there); nothing when it does not.
/// Threads: pure.
void add_sender(std::string_view body, ArmResult& result);

}  // namespace sluice::integration::demo
