#include "scheduler/planner.h"

#include <algorithm>

namespace sluice::scheduler {
namespace {

/// How often a stalled delivery is looked at again.
constexpr Duration kShortestRecheck{2'000'000};
constexpr Duration kLongestRecheck{100'000'000};
constexpr std::int64_t kRechecksPerSlack = 16;
/// What is not needed is granted only when it is forecast to be done with this part of the time till then to spare.
constexpr std::int64_t kSpare = 8;
/// Recompute is preferred only when it beats the delivery's hopeful end by this part of itself: recompute costs are
/// measured on an idle engine, and a delivery that goes on is never thrown away for a tie.
constexpr std::int64_t kReuseMargin = 32;
constexpr std::int64_t kHandOverMargin = 4;
/// A hard request that is late by so many recomputes ends, whatever is forecast.
constexpr std::int64_t kLatestRecomputes = 4;
/// Refinement ends when raw rows would be in place, less this part of the time since the request was opened.
constexpr std::int64_t kRawMargin = 32;

Duration saturated_times(Duration span, std::int64_t factor) {
  return span > Duration::max() / factor ? Duration::max() : span * factor;
}

bool is_at_floor(const RequestState& request) { return request.is_all_offered() && request.below_floor_arrived() == 0; }

Part part_for(const UnitState& unit, Way way) {
  if (way != Part::kBase && unit.states[way] == PartState::kOffered) return way;
  if (const auto stage = unit.next_stage()) return *stage;
  Part smallest = Part::kRaw;
  Bytes size = Bytes::max();
  for (const Part part : kWholeParts) {
    if (unit.states[part] != PartState::kOffered || unit.sizes[part] >= size) continue;
    smallest = part;
    size = unit.sizes[part];
  }
  return smallest;
}

/// Quality of all stages that the request was offered.
PartsPerMillion highest_stage(const RequestState& request) {
  PartsPerMillion highest(0);
  for (std::size_t stage = 0; stage < kStageParts; ++stage) {
    if (request.offered_totals()[kAllParts[stage]].count > 0) highest = request.levels().stages[stage];
  }
  return highest;
}

Reason reason_for(Part part, Reason chosen) {
  if (part == Part::kBase) return Reason::kBaseFirst;
  if (part_place(part) < kStageParts) return Reason::kFloorStage;
  return chosen == Reason::kBaseFirst ? Reason::kFasterWhole : chosen;
}

}  // namespace

void Planner::on(const Event& event, Instant now, Actions& out) {
  board_.apply(event, now, out);
  end_what_is_over(now, out);
  // Bounded: each round grants one part or ends one request.
  while (grant_needed(now, out) || grant_refinement(now, out)) {
  }
  set_wake(now);
}

void Planner::end_what_is_over(Instant now, Actions& out) {
  Bytes ahead;
  for (std::size_t place = 0; place < board_.requests().size();) {
    const RequestState& request = board_.requests()[place];
    const Bytes own = floor_bytes(board_, request);
    if (end_delivered(request, now, out) || end_undeliverable(request, ahead, now, out)) continue;
    ahead += own;
    ++place;
  }
}

bool Planner::end_delivered(const RequestState& request, Instant now, Actions& out) {
  if (!is_at_floor(request)) return false;
  Inputs inputs = board_.inputs(request, now);
  inputs.predicted = board_.publishable(now) - now;
  if (request.quality().arrived >= request.target_sum()) {
    board_.complete(request, Reason::kTargetReached, inputs, out);
    return true;
  }
  const Limit limit = refinement_limit(request, now);
  if (board_.publishable(now) + longest_decode(request) < limit.at) return false;
  board_.complete(request, limit.reason, inputs, out);
  return true;
}

bool Planner::end_undeliverable(const RequestState& request, Bytes ahead, Instant now, Actions& out) {
  if (is_at_floor(request)) return false;
  Inputs inputs = board_.inputs(request, now);
  if (request.is_sealed() && request.hopeless() > 0) {
    board_.recompute(request, request.has_lost_part() ? Reason::kPartLost : Reason::kPartNotOffered, inputs, out);
    return true;
  }
  const Duration recompute = request.opened().recompute;
  const bool can_recompute = recompute != Duration::max();
  if (request.opened().deadline_kind == DeadlineKind::kHard) {
    const Instant last_call = board_.last_call(request);
    const Instant end = can_recompute ? last_call + saturated_times(recompute, kLatestRecomputes) : last_call;
    if (now >= end) {
      board_.recompute(request, Reason::kDeadlinePassed, inputs, out);
      return true;
    }
  }
  if (!can_recompute) return false;
  const Road road{ahead, board_.hopeful_rate(now), now, true};
  const Instant earliest = earliest_floor(board_, request, road);
  if (earliest == Instant::never()) return false;
  // What computes for us already has a start that our own recompute has not: in a hand-over it must be clearly slower.
  const bool is_computed = request.opened().mode == Mode::kHandOver && !request.is_all_offered();
  const Instant recomputed = now + recompute + recompute / (is_computed ? kHandOverMargin : kReuseMargin);
  if (earliest <= recomputed) return false;
  inputs.rate = road.rate;
  inputs.bytes = floor_bytes(board_, request);
  inputs.predicted = earliest - now;
  const bool is_late = earliest > board_.last_call(request) + board_.decode().per_request;
  board_.recompute(request, is_late ? Reason::kDeadlineInfeasible : Reason::kRecomputeSooner, inputs, out);
  return true;
}

bool Planner::grant_needed(Instant now, Actions& out) {
  Bytes ahead;
  for (RequestState& request : board_.requests()) {
    const auto index = request.next_needy();
    if (!index) {
      ahead += floor_bytes(board_, request);
      continue;
    }
    if (!board_.has_room(now)) return false;
    const Choice choice = choose_way(request, ahead, now);
    const Part part = part_for(request.units()[*index], choice.way);
    board_.grant(request, {*index, part, reason_for(part, choice.reason), choice.inputs}, out);
    return true;
  }
  return false;
}

Planner::Choice Planner::choose_way(const RequestState& request, Bytes ahead, Instant now) const {
  Choice choice;
  choice.inputs = board_.inputs(request, now);
  const Road road{ahead, board_.rate(now), now};
  const auto nested = floor_work(board_, request, Part::kBase);
  const Instant nested_floor = nested ? forecast(board_, request, *nested, road) : Instant::never();
  if (nested) {
    choice.inputs.bytes = nested->wire;
    choice.inputs.predicted = nested_floor - now;
  }
  if (!board_.knows_link()) return choice;
  const auto take = [&](Way way, Reason reason, const Work& work, Instant at) {
    choice.way = way;
    choice.reason = reason;
    choice.inputs.bytes = work.wire;
    choice.inputs.predicted = at - now;
  };
  const Instant limit = time_limit(request).at;
  const auto raw = floor_work(board_, request, Part::kRaw);
  if (raw && !raw->wire.is_zero() && others_fit(request, raw->wire, now)) {
    const Instant raw_floor = forecast(board_, request, *raw, road);
    if (raw_floor <= nested_floor && raw_floor <= limit) {
      take(Part::kRaw, Reason::kBypassRaw, *raw, raw_floor);
      return choice;
    }
  }
  const auto staged = target_work(board_, request, Part::kBase);
  Instant best = staged ? forecast(board_, request, *staged, road) : Instant::never();
  const bool reaches = best <= limit && best != Instant::never();
  for (const Way way : kWholeParts) {
    const auto work = target_work(board_, request, way);
    if (!work || !others_fit(request, work->wire, now)) continue;
    const Instant at = forecast(board_, request, *work, road);
    if (at >= best || at + (at - now) / kSpare > limit) continue;
    best = at;
    take(way, Reason::kFasterWhole, *work, at);
  }
  if (choice.way == Part::kBase && !reaches) prefer_whole(request, road, choice);
  return choice;
}

void Planner::prefer_whole(const RequestState& request, const Road& road, Choice& choice) const {
  const bool has_nested = floor_work(board_, request, Part::kBase).has_value();
  Instant soonest = has_nested ? road.now + choice.inputs.predicted : Instant::never();
  PartsPerMillion best = highest_stage(request);
  // Only where it is no later than the stages that it replaces: else units would be sharp and others bare.
  const Instant staged = forecast(board_, request, all_stages_work(board_, request), road);
  const Instant limit = std::min(staged, time_limit(request).at);
  for (const Way way : kWholeParts) {
    const auto work = floor_work(board_, request, way);
    if (!work || work->wire.is_zero() || !others_fit(request, work->wire, road.now)) continue;
    const Instant at = forecast(board_, request, *work, road);
    const PartsPerMillion quality = request.levels().whole(way);
    const bool is_best = quality > best && at + (at - road.now) / kSpare <= limit;
    if (!is_best && (at >= soonest || choice.reason == Reason::kBestWhole)) continue;
    if (is_best) best = quality;
    soonest = std::min(soonest, at);
    choice.way = way;
    choice.reason = is_best ? Reason::kBestWhole : way == Part::kRaw ? Reason::kBypassRaw : Reason::kFasterWhole;
    choice.inputs.bytes = work->wire;
    choice.inputs.predicted = at - road.now;
  }
}

bool Planner::others_fit(const RequestState& request, Bytes extra, Instant now) const {
  const BitsPerSecond rate = board_.rate(now);
  Bytes due = board_.in_flight().bytes();
  for (const RequestState& other : board_.requests()) {
    if (&other == &request) continue;
    due += floor_bytes(board_, other);
    const Instant last_call = board_.last_call(other);
    if (last_call == Instant::never()) continue;
    const Bytes carried = sent_within(last_call - now, rate);
    // A request that fails anyway is not a reason to hold this one back.
    if (due <= carried && due + extra > carried) return false;
  }
  return true;
}

Duration Planner::longest_decode(const RequestState& request) const {
  return board_.in_flight().longest_work(request.id()) / board_.decode().workers;
}

Planner::Limit Planner::time_limit(const RequestState& request) const {
  Limit limit{request.opened().deadline == Instant::never() ? Instant::never()
                                                            : board_.last_call(request) + board_.decode().per_request,
              Reason::kDeadlineNear};
  // In a hand-over this node has other work, and its recompute would start from nothing: only the deadline counts.
  if (request.opened().mode == Mode::kReuse && request.opened().recompute != Duration::max()) {
    const Instant recomputed = request.opened_at() + request.opened().recompute;
    if (recomputed < limit.at) limit = Limit{recomputed, Reason::kRecomputeNear};
  }
  return limit;
}

Planner::Limit Planner::refinement_limit(const RequestState& request, Instant now) const {
  const Limit limit = time_limit(request);
  if (board_.requests().size() > 1 || !board_.knows_link()) return limit;
  const Instant raw = raw_baseline(board_, request, now);
  if (raw == Instant::never()) return limit;
  const Instant before = raw + (request.opened_at() - raw) / kRawMargin;
  return before < limit.at ? Limit{before, Reason::kRawNear} : limit;
}

std::optional<Planner::Refinement> Planner::steepest(std::size_t place, Instant now) const {
  const RequestState& request = board_.requests()[place];
  if (request.quality().planned >= request.target_sum()) return std::nullopt;
  // In reuse the other units' bases are about to be offered: a refinement now would stand in their way.
  if (request.opened().mode == Mode::kReuse && !request.is_all_offered()) return std::nullopt;
  const Way way = choose_way(request, Bytes(0), now).way;
  std::optional<Refinement> best;
  const auto consider = [&](std::size_t index, Part part, PartsPerMillion quality) {
    const UnitState& unit = request.units()[index];
    const PartsPerMillion before = planned_quality(unit, request.levels());
    if (unit.states[part] != PartState::kOffered || quality <= before) return;
    const WideCount gain = static_cast<WideCount>((quality - before).count()) * unit.raw.count();
    const Bytes bytes = unit.sizes[part];
    if (best && gain * best->bytes.count() <= best->gain * bytes.count()) return;
    best = Refinement{place, index, part, bytes, gain};
  };
  // TODO(perf): a heap per request would make this constant; it is a scan of at most kMostUnits.
  for (std::size_t index = 0; index < request.units().size(); ++index) {
    const UnitState& unit = request.units()[index];
    if (!unit.is_offered() || unit.is_whole_planned()) continue;
    const auto stage = unit.next_stage();
    if (stage && way == Part::kBase) consider(index, *stage, request.levels().points[*stage]);
    // A whole part on top of stages would send the same rows twice: only where it leads to the target, or no stage can.
    const bool has_stages = unit.stages_planned() > 0;
    for (const Part part : kWholeParts) {
      if (way == part || (way == Part::kBase && !has_stages)) consider(index, part, request.levels().whole(part));
    }
  }
  return best;
}

bool Planner::fits(const RequestState& request, const Refinement& refinement, const Limit& limit, Instant now) const {
  Work work;
  work.wire = refinement.bytes;
  work.last_wire = refinement.bytes;
  work.decode = decode_time(board_.decode(), refinement.part, request.units()[refinement.unit].raw);
  work.last_decode = work.decode;
  Bytes ahead;
  for (const RequestState& other : board_.requests()) ahead += floor_bytes(board_, other);
  const Instant at = forecast(board_, request, work, Road{ahead, board_.rate(now), now});
  return at + (at - now) / kSpare <= limit.at;
}

bool Planner::grant_refinement(Instant now, Actions& out) {
  std::optional<Refinement> best;
  for (std::size_t place = 0; place < board_.requests().size(); ++place) {
    const RequestState& request = board_.requests()[place];
    // Bases come first: while one could be granted and there is no room, nothing else is.
    if (request.below_floor_planned() > request.hopeless()) return false;
    const auto candidate = steepest(place, now);
    const Limit limit = refinement_limit(request, now);
    if (candidate && fits(request, *candidate, limit, now)) {
      const bool is_steeper = !best || candidate->gain * best->bytes.count() > best->gain * candidate->bytes.count();
      if (is_steeper) best = candidate;
      continue;
    }
    if (request.parts_in_flight() > 0 || !is_at_floor(request)) continue;
    const bool is_exhausted = !candidate && request.quality().planned < request.target_sum();
    if (!candidate && !is_exhausted) continue;
    Inputs inputs = board_.inputs(request, now);
    inputs.bytes = candidate ? candidate->bytes : Bytes(0);
    inputs.predicted = board_.publishable(now) - now;
    board_.complete(request, candidate ? limit.reason : Reason::kNothingBetter, inputs, out);
    return true;
  }
  if (!best || !board_.has_room(now)) return false;
  RequestState& request = board_.requests()[best->request];
  Inputs inputs = board_.inputs(request, now);
  inputs.bytes = best->bytes;
  inputs.predicted = time_to_send(board_.in_flight().bytes() + best->bytes, inputs.rate);
  board_.grant(request, {best->unit, best->part, Reason::kSteepestRefinement, inputs}, out);
  return true;
}

void Planner::set_wake(Instant now) {
  wake_at_ = Instant::never();
  for (const RequestState& request : board_.requests()) {
    Instant next = now + kLongestRecheck;
    if (request.opened().deadline != Instant::never()) {
      const Duration slack = request.opened().deadline - now;
      next = now + std::clamp(slack / kRechecksPerSlack, kShortestRecheck, kLongestRecheck);
      const Instant last_call = board_.last_call(request);
      if (last_call > now) next = std::min(next, last_call);
    }
    if (is_at_floor(request)) {
      const Instant limit = refinement_limit(request, now).at;
      if (limit != Instant::never()) {
        const Instant last = limit + (-longest_decode(request) - board_.decode().per_request);
        if (last > now) next = std::min(next, last);
      }
    }
    wake_at_ = std::min(wake_at_, next);
  }
}

}  // namespace sluice::scheduler
