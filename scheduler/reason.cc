#include "scheduler/reason.h"

#include <array>

namespace sluice::scheduler {
namespace {

struct Entry {
  Reason reason;
  std::string_view name;
  std::string_view explanation;
};

constexpr std::array kEntries = {
    Entry{Reason::kBaseFirst, "base_first", "every unit gets its base before any gets more, earliest deadline first"},
    Entry{Reason::kFloorStage, "floor_stage", "the base alone is below the request's quality floor"},
    Entry{Reason::kSteepestRefinement, "steepest_refinement",
          "no base is outstanding, and this refinement gains most quality per byte"},
    Entry{Reason::kBypassRaw, "bypass_raw", "the link is so fast that raw rows are in place no later than coded ones"},
    Entry{
        Reason::kFasterWhole, "faster_whole",
        "this whole part gets the request to its target, or where that is out of reach to its floor, sooner than base "
        "and refinements"},
    Entry{Reason::kRetry, "retry", "the same part failed before"},
    Entry{Reason::kFixedLevel, "fixed_level", "the policy always sends this level"},
    Entry{Reason::kCacheGenLevel, "cachegen_level",
          "least lossy level that fits the deadline at the previous chunk's throughput"},
    Entry{Reason::kBestWhole, "best_whole",
          "this whole part is better than all stages together, no later than they, and here in time"},
    Entry{Reason::kEnvelopeLevel, "envelope_level", "of all levels, this one was forecast to be in place soonest"},
    Entry{Reason::kTwoEnded, "two_ended",
          "the link alone does not bring the target in time: the front is computed while the back arrives"},
    Entry{Reason::kAged, "aged", "work without a deadline gets a fiftieth of the bytes, however much is urgent"},
    Entry{Reason::kDeadlineInfeasible, "deadline_infeasible",
          "no acceptable level can be here by the deadline, and this node prefills the prompt sooner than any arrives"},
    Entry{Reason::kRecomputeSooner, "recompute_sooner", "this node prefills the prompt sooner than any level arrives"},
    Entry{Reason::kDeadlinePassed, "deadline_passed",
          "the deadline came before every unit had reached the floor, and there was no more time to wait"},
    Entry{Reason::kPartLost, "part_lost", "a part that the floor needs failed too often and nothing can replace it"},
    Entry{Reason::kPolicyRecomputes, "policy_recomputes", "the policy never transfers"},
    Entry{Reason::kCacheGenText, "cachegen_text",
          "no level fits the deadline at the previous chunk's throughput, but recompute does"},
    Entry{Reason::kTooManyUnits, "too_many_units", "the peer announced more units than a request may have"},
    Entry{Reason::kPartNotOffered, "part_not_offered", "the peer has none of the parts that this delivery needs"},
    Entry{Reason::kTimedOut, "timed_out",
          "the policy waits a fixed time and so much a token, and then recomputes the rest"},
    Entry{Reason::kDropped, "dropped",
          "the level cannot be here by the deadline, and the policy then drops the request"},
    Entry{Reason::kTargetReached, "target_reached", "the quality target is reached: more bytes are not worth any time"},
    Entry{Reason::kNothingBetter, "nothing_better", "everything that the peer offers and that helps has arrived"},
    Entry{Reason::kDeadlineNear, "deadline_near", "the next refinement would not be here by the deadline"},
    Entry{Reason::kRecomputeNear, "recompute_near",
          "the next refinement would be here later than recompute would have been done"},
    Entry{Reason::kLevelDelivered, "level_delivered", "the level that the policy sends has arrived"},
    Entry{Reason::kRawNear, "raw_near", "the next refinement would be here later than raw rows would have been"},
};

constexpr auto collect_reasons() {
  std::array<Reason, kEntries.size()> reasons{};
  for (std::size_t i = 0; i < kEntries.size(); ++i) reasons[i] = kEntries[i].reason;
  return reasons;
}
constexpr auto kReasons = collect_reasons();

const Entry* find_entry(Reason reason) {
  for (const Entry& entry : kEntries) {
    if (entry.reason == reason) return &entry;
  }
  return nullptr;
}

}  // namespace

std::span<const Reason> all_reasons() { return kReasons; }

std::string_view reason_name(Reason reason) {
  const Entry* entry = find_entry(reason);
  return entry == nullptr ? "unknown" : entry->name;
}

std::string_view reason_explanation(Reason reason) {
  const Entry* entry = find_entry(reason);
  return entry == nullptr ? "no such reason" : entry->explanation;
}

}  // namespace sluice::scheduler
