#include "scheduler/policy_fixed.h"

#include <algorithm>

namespace sluice::scheduler {

FixedPolicy::FixedPolicy(std::string name, std::vector<Part> parts, const PolicyOptions& options)
    : name_(std::move(name)), parts_(std::move(parts)), takes_all_(parts_.empty()), board_(options) {
  if (takes_all_) parts_.assign(kAllParts.begin(), kAllParts.end());
}

void FixedPolicy::on(const Event& event, Instant now, Actions& out) {
  board_.apply(event, now, out);
  for (std::size_t place = 0; place < board_.requests().size();) {
    if (!end_if_over(board_.requests()[place], now, out)) ++place;
  }
  while (board_.has_room(now) && grant_next(now, out)) {
  }
}

bool FixedPolicy::end_if_over(const RequestState& request, Instant now, Actions& out) {
  std::size_t arrived = 0;
  bool is_lost = false;
  bool is_missing = false;
  const auto is_asked = [&](Part part) { return request.wants(part); };
  const bool asks_nothing = std::none_of(parts_.begin(), parts_.end(), is_asked);
  for (const UnitState& unit : request.units()) {
    const auto has = [&](PartState state) {
      return std::any_of(parts_.begin(), parts_.end(),
                         [&](Part part) { return is_asked(part) && unit.states[part] == state; });
    };
    is_lost = is_lost || has(PartState::kLost);
    is_missing = is_missing || asks_nothing ||
                 (!takes_all_ && request.is_sealed() && unit.is_offered() && has(PartState::kAbsent));
    const bool is_here = std::all_of(parts_.begin(), parts_.end(), [&](Part part) {
      return !is_asked(part) || unit.states[part] == PartState::kArrived ||
             (takes_all_ && unit.states[part] == PartState::kAbsent);
    });
    if (is_here && !asks_nothing) ++arrived;
  }
  const Inputs inputs = board_.inputs(request, now);
  if (request.is_all_offered() && arrived == request.offered_units()) {
    board_.complete(request, Reason::kLevelDelivered, inputs, out);
    return true;
  }
  const bool is_hard = request.opened().deadline_kind == DeadlineKind::kHard;
  if (is_lost || is_missing) {
    board_.recompute(request, is_lost ? Reason::kPartLost : Reason::kPartNotOffered, inputs, out);
  } else if (is_hard && now >= board_.last_call(request)) {
    board_.recompute(request, Reason::kDeadlinePassed, inputs, out);
  } else {
    return false;
  }
  return true;
}

bool FixedPolicy::grant_next(Instant now, Actions& out) {
  for (RequestState& request : board_.requests()) {
    for (std::size_t index = 0; index < request.units().size(); ++index) {
      for (const Part part : parts_) {
        if (request.units()[index].states[part] != PartState::kOffered) continue;
        Inputs inputs = board_.inputs(request, now);
        inputs.bytes = request.units()[index].sizes[part];
        inputs.predicted = time_to_send(board_.in_flight().bytes() + inputs.bytes, inputs.rate);
        board_.grant(request, {index, part, Reason::kFixedLevel, inputs}, out);
        return true;
      }
    }
  }
  return false;
}

void RecomputePolicy::on(const Event& event, Instant now, Actions& out) {
  board_.apply(event, now, out);
  while (!board_.requests().empty()) {
    const RequestState& request = board_.requests().front();
    board_.recompute(request, Reason::kPolicyRecomputes, board_.inputs(request, now), out);
  }
}

}  // namespace sluice::scheduler
