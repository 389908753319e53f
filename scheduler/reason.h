// Why the scheduler decided as it did. Each decision carries one of these pinned codes together with its inputs, so
// that a log line, a metric's label, `sluice explain` and a replayed trace all say the same thing.
// Invariant: a number, once released, keeps its meaning; names are stable and lower case.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace sluice::scheduler {

/// Pinned. Below 20: grants and computed chunks. 20 to 39: recompute. 40 and up: completion.
enum class Reason : std::uint8_t {
  kNone = 0,
  kBaseFirst = 1,
  kFloorStage = 2,
  kSteepestRefinement = 3,
  kBypassRaw = 4,
  kFasterWhole = 5,
  kRetry = 6,
  kFixedLevel = 7,
  kCacheGenLevel = 8,
  kBestWhole = 9,
  kEnvelopeLevel = 10,
  kTwoEnded = 11,
  kAged = 12,

  kDeadlineInfeasible = 20,
  kRecomputeSooner = 21,
  kDeadlinePassed = 22,
  kPartLost = 23,
  kPolicyRecomputes = 24,
  kCacheGenText = 25,
  kTooManyUnits = 26,
  kPartNotOffered = 27,
  kTimedOut = 28,
  kDropped = 29,

  kTargetReached = 40,
  kNothingBetter = 41,
  kDeadlineNear = 42,
  kRecomputeNear = 43,
  kLevelDelivered = 44,
  kRawNear = 45,
};

/// Every code but kNone, in ascending order: what a metric initialises its labels from.  Threads: pure.
std::span<const Reason> all_reasons();

/// The stable name, for instance "base_first"; "unknown" for a number that has none.  Threads: pure.
std::string_view reason_name(Reason reason);

/// One line for people; never empty.  Threads: pure.
std::string_view reason_explanation(Reason reason);

}  // namespace sluice::scheduler
