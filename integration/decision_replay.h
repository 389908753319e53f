// Puts a decision log back through the policies that wrote it: the same events at the same times must give the same
// actions, to the last input. What differs is a bug, another program, or a damaged log.
// Place in the flow: file -> DecisionLogReader -> replay -> `sluice trace replay`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "integration/decision_record.h"

namespace sluice::integration {

/// The first step whose answer is another one.
struct ReplayDifference {
  /// As the log has it.
  LoggedStep logged;
  /// What the policy answers now.
  LoggedStep got;
};
/// What became of a log.
struct ReplayResult {
  std::string program;
  std::uint64_t steps = 0;
  std::uint64_t actions = 0;
  std::uint64_t policies = 0;
  /// The log ends because it was full.
  bool is_full = false;
  std::optional<ReplayDifference> difference;
  /// What ended the reading; all steps before it were replayed.
  Error error;
  /// Where in the file the reading ended.
  std::size_t offset = 0;
};

/// Replays until the end, the first difference or the first error.
/// Errors (in the result): those of DecisionLogReader; kBadField for records out of order, time that goes back or more
/// open units than a node can have; kInvalidArgument for a policy that is not known or options out of range.
/// Threads: pure.
ReplayResult replay(std::span<const std::byte> log);

}  // namespace sluice::integration
