// What a node's planner was told and what it answered, as bytes: the records of a decision log (DECISION_LOG.md).
// Place in the flow: DecodeService -> DecisionLog -> file -> DecisionLogReader -> replay and explain.
// Invariants: no record holds prompt text, tokens or KV; what is read back is what was written; no bytes make the
// reader read outside of them, and no value that it gives is out of the range that a policy can take.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "scheduler/policy.h"

namespace sluice::integration {

/// First record of a log: which program wrote it, and what all its policies know of their node.
struct LoggedNode {
  std::string program;
  scheduler::PolicyOptions options;
};
/// A policy was made. Steps name it by `number`.
struct LoggedPolicy {
  std::uint32_t number = 0;
  std::string name;
};
/// One event, and all that the policy answered.
struct LoggedStep {
  std::uint32_t policy = 0;
  Instant now;
  scheduler::Event event;
  scheduler::Actions actions;
  Instant wake_at;
};
/// The log has reached its bound: what came later is not in it.
struct LogFull {};
using DecisionRecord = std::variant<LoggedNode, LoggedPolicy, LoggedStep, LogFull>;

/// Appends the record's payload to `out`.
void encode_record(DecisionRecord record, std::vector<std::byte>& out);
/// Errors:  kTruncated, kTrailingBytes, kBadField.  Threads: pure.
Result<DecisionRecord> decode_record(std::span<const std::byte> payload);

/// One line for people: the event's name and each of its fields. Allocates.
std::string describe(const scheduler::Event& event);

}  // namespace sluice::integration
