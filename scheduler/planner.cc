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
/// As many requests are all looked at at every event; of more, only those that the event speaks of or whose time came.
constexpr std::size_t kFewRequests = 4;
/// Looks that one event may cost; the rest follow with a Tick at once.
constexpr std::size_t kMostLooks = 16;
/// Refinements that one grant considers.
constexpr std::size_t kMostTries = 4;
/// Requests whose floors are weighed against a whole part that would go before them; among more, none goes.
constexpr std::size_t kMostWeighed = 64;
/// A link on which two requests were open at once is shared for so long: floors come before anything that is more.
constexpr Duration kCrowdedFor{5'000'000'000};
/// Work without a deadline gets one byte of so many while others are urgent.
constexpr std::uint64_t kAgingPart = 49;

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
  Listed* touched = board_.apply(event, now, out);
  RequestList& requests = board_.requests();
  if (requests.size() > 1) crowded_at_ = now;
  if (requests.size() > kFewRequests) {
    if (touched != nullptr) look(*touched, now, out);
  } else {
    for (std::size_t place = 0; place < requests.size();) {
      if (!look(requests.at(place), now, out)) ++place;
    }
  }
  look_at_due(now, out);
  grant_compute(now, out);
  // Bounded: each round grants one part or ends one request.
  while (grant_needed(now, out) || grant_refinement(now, out)) {
  }
  wake_at_ = requests.next_wake();
}

void Planner::look_at_due(Instant now, Actions& out) {
  RequestList& requests = board_.requests();
  for (std::size_t looks = 0; looks < kMostLooks && requests.next_wake() <= now; ++looks) {
    look(*requests.next_to_wake(), now, out);
  }
}

bool Planner::look(Listed& listed, Instant now, Actions& out) {
  RequestState& request = listed.state;
  plan_front(request, now);
  promise(listed, now, out);
  if (end_delivered(request, now, out) || end_undeliverable(listed, now, out)) return true;
  refresh(listed, now);
  if (request.parts_in_flight() == 0 && is_at_floor(request)) {
    const auto candidate = steepest(request, now);
    const bool is_worth_it = candidate && fits(request, *candidate, refinement_limit(request, now), now);
    if (!is_worth_it && end_refined(request, candidate, now, out)) return true;
  }
  set_timer(listed, now);
  return false;
}

void Planner::promise(Listed& listed, Instant now, Actions& out) {
  const RequestState& request = listed.state;
  if (board_.options().promise.is_zero() || listed.promise != PromiseState::kOpen) return;
  if (request.offered_units() == 0 || request.opened().deadline == Instant::never()) return;
  const Road road{board_.requests().floor_bytes_before(listed), board_.cautious_rate(now), now};
  const Instant floor = earliest_floor(board_, request, road);
  const Instant by = floor == Instant::never() ? floor : now + admission_.stretched(floor - now);
  Inputs inputs = board_.inputs(request, now);
  inputs.rate = road.rate;
  inputs.predicted = by == Instant::never() ? Duration::max() : by - now;
  const bool is_made = by <= board_.last_call(request) + board_.decode().per_request;
  listed.promise = is_made ? PromiseState::kMade : PromiseState::kNotMade;
  out.push_back(Promise{request.id(), is_made, by, inputs});
}

void Planner::settle(const RequestState& request, bool is_in_time) {
  const Listed* listed = board_.requests().find(request.id());
  if (listed->promise == PromiseState::kMade) admission_.on_end(is_in_time);
}

void Planner::complete(RequestState& request, const Ending& ending, Instant now, Actions& out) {
  settle(request, board_.publishable(now) <= request.opened().deadline);
  board_.complete(request, ending, out);
}

void Planner::recompute(RequestState& request, const Ending& ending, Actions& out) {
  settle(request, false);
  board_.recompute(request, ending, out);
}

void Planner::refresh(Listed& listed, Instant now) {
  RequestState& request = listed.state;
  Figures figures;
  figures.floor_bytes = floor_bytes(board_, request);
  figures.is_needy = !waits_for_offers(request, now) && request.next_needy().has_value();
  figures.is_bare = request.below_floor_planned() > request.hopeless();
  figures.wants_compute = request.computed_chunks() < request.reserved_chunks();
  if (!figures.is_bare && request.quality().planned < request.target_sum()) {
    const auto stage = request.steepest_stage();
    // Whole parts have no order among requests; they follow the stages.
    figures.slope = stage ? std::max<std::uint64_t>(1, slope_of(stage->gain, stage->bytes)) : 1;
  }
  board_.requests().note(listed, figures);
}

bool Planner::end_delivered(RequestState& request, Instant now, Actions& out) {
  if (!is_at_floor(request)) return false;
  Inputs inputs = board_.inputs(request, now);
  inputs.predicted = board_.publishable(now) - now;
  if (request.quality().arrived >= request.target_sum()) {
    complete(request, {Reason::kTargetReached, inputs}, now, out);
    return true;
  }
  const Limit limit = refinement_limit(request, now);
  if (board_.publishable(now) + longest_decode(request) < limit.at) return false;
  complete(request, {limit.reason, inputs}, now, out);
  return true;
}

bool Planner::end_undeliverable(Listed& listed, Instant now, Actions& out) {
  RequestState& request = listed.state;
  if (is_at_floor(request)) return false;
  Inputs inputs = board_.inputs(request, now);
  if (request.is_sealed() && request.hopeless() > 0) {
    recompute(request, {request.has_lost_part() ? Reason::kPartLost : Reason::kPartNotOffered, inputs}, out);
    return true;
  }
  const Duration own = request.opened().recompute;
  const bool can_recompute = own != Duration::max();
  if (request.opened().deadline_kind == DeadlineKind::kHard) {
    const Instant last_call = board_.last_call(request);
    const Instant end = can_recompute ? last_call + saturated_times(own, kLatestRecomputes) : last_call;
    if (now >= end) {
      recompute(request, {Reason::kDeadlinePassed, inputs}, out);
      return true;
    }
  }
  // Meeting from both ends, once there is something to meet, is never later than recompute.
  if (!can_recompute || (may_compute(request) && request.offered_units() > 0)) return false;
  const Road road{board_.requests().floor_bytes_before(listed), board_.hopeful_rate(now), now, true};
  const Instant earliest = earliest_floor(board_, request, road);
  if (earliest == Instant::never()) return false;
  // What computes for us already has a start that our own recompute has not: in a hand-over it must be clearly slower.
  const bool is_computed = request.opened().mode == Mode::kHandOver && !request.is_all_offered();
  const Instant recomputed =
      std::max(now, board_.compute_free()) + own + own / (is_computed ? kHandOverMargin : kReuseMargin);
  if (earliest <= recomputed) return false;
  inputs.rate = road.rate;
  inputs.bytes = floor_bytes(board_, request);
  inputs.predicted = earliest - now;
  const bool is_late = earliest > board_.last_call(request) + board_.decode().per_request;
  recompute(request, {is_late ? Reason::kDeadlineInfeasible : Reason::kRecomputeSooner, inputs}, out);
  return true;
}

bool Planner::end_refined(RequestState& request, const std::optional<Refinement>& candidate, Instant now,
                          Actions& out) {
  if (request.parts_in_flight() > 0 || !is_at_floor(request)) return false;
  if (!candidate && request.quality().planned >= request.target_sum()) return false;
  // A chunk that is being computed may yet better it.
  if (request.computed_chunks() < request.reserved_chunks()) return false;
  Inputs inputs = board_.inputs(request, now);
  inputs.bytes = candidate ? candidate->bytes : Bytes(0);
  inputs.predicted = board_.publishable(now) - now;
  const Reason reason = candidate ? refinement_limit(request, now).reason : Reason::kNothingBetter;
  complete(request, {reason, inputs}, now, out);
  return true;
}

Listed* Planner::next_needy() {
  Listed* patient = board_.requests().first_patient();
  if (patient == nullptr) {
    urgent_ = Bytes(0);
  } else {
    const Bytes own = patient->figures.floor_bytes / std::max<std::size_t>(1, patient->state.below_floor_planned());
    if (urgent_ / kAgingPart >= own) return patient;
  }
  return board_.requests().first_needy();
}

bool Planner::grant_needed(Instant now, Actions& out) {
  Listed* listed = next_needy();
  if (listed == nullptr || !board_.has_room(now)) return false;
  RequestState& request = listed->state;
  const auto index = request.next_needy();
  SLUICE_ASSERT(index.has_value());
  const Choice choice = choose_way(request, board_.requests().floor_bytes_before(*listed), now);
  const Part part = part_for(request.units()[*index], choice.way);
  const bool is_patient = request.opened().deadline == Instant::never();
  const bool is_aged = is_patient && board_.requests().first_needy() != listed;
  urgent_ = is_patient ? Bytes(0) : urgent_ + request.units()[*index].sizes[part];
  const Reason reason = is_aged ? Reason::kAged : reason_for(part, choice.reason);
  board_.grant(request, {*index, part, reason, choice.inputs}, out);
  refresh(*listed, now);
  return true;
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
  if (raw && !raw->wire.is_zero() && (!nested || now + time_to_send(raw->wire, road.rate) <= nested_floor)) {
    const Instant raw_floor = forecast(board_, request, *raw, road);
    if (raw_floor <= nested_floor && raw_floor <= limit && raw->wire <= room_beside(request, now)) {
      take(Part::kRaw, Reason::kBypassRaw, *raw, raw_floor);
      return choice;
    }
  }
  // Whole parts are more than the floor needs: others may come who need the link for theirs.
  if (nested && is_crowded(now)) return choice;
  const Bytes room = room_beside(request, now);
  const auto staged = target_work(board_, request, Part::kBase);
  Instant best = staged ? forecast(board_, request, *staged, road) : Instant::never();
  const bool reaches = best <= limit && best != Instant::never();
  for (const Way way : kWholeParts) {
    const auto work = target_work(board_, request, way);
    if (!work || work->wire > room) continue;
    const Instant at = forecast(board_, request, *work, road);
    if (at >= best || at + (at - now) / kSpare > limit) continue;
    best = at;
    take(way, Reason::kFasterWhole, *work, at);
  }
  if (choice.way == Part::kBase && !reaches) prefer_whole(request, road, room, choice);
  return choice;
}

void Planner::prefer_whole(const RequestState& request, const Road& road, Bytes room, Choice& choice) const {
  const bool has_nested = floor_work(board_, request, Part::kBase).has_value();
  Instant soonest = has_nested ? road.now + choice.inputs.predicted : Instant::never();
  PartsPerMillion best = highest_stage(request);
  // Only where it is no later than the stages that it replaces: else units would be sharp and others bare.
  const Instant staged = forecast(board_, request, all_stages_work(board_, request), road);
  const Instant limit = std::min(staged, time_limit(request).at);
  for (const Way way : kWholeParts) {
    const auto work = floor_work(board_, request, way);
    if (!work || work->wire.is_zero() || work->wire > room) continue;
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

bool Planner::is_crowded(Instant now) const { return now - crowded_at_ < kCrowdedFor; }

Bytes Planner::room_beside(const RequestState& request, Instant now) const {
  if (board_.requests().size() == 1) return Bytes::max();
  const BitsPerSecond rate = board_.rate(now);
  Bytes due = board_.in_flight().bytes();
  Bytes room = Bytes::max();
  std::size_t weighed = 0;
  board_.requests().walk([&](const Listed& other) {
    if (&other.state == &request) return true;
    due += other.figures.floor_bytes;
    const Instant last_call = board_.last_call(other.state);
    if (last_call == Instant::never()) return false;
    const Bytes carried = sent_within(last_call - now, rate);
    // A request that fails anyway is not a reason to hold this one back.
    if (due <= carried) room = std::min(room, carried - due);
    if (++weighed >= kMostWeighed) room = Bytes(0);
    return !room.is_zero();
  });
  return room;
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

std::optional<Refinement> Planner::steepest(RequestState& request, Instant now) const {
  if (request.quality().planned >= request.target_sum()) return std::nullopt;
  // In reuse the other units' bases are about to be offered: a refinement now would stand in their way.
  if (request.opened().mode == Mode::kReuse && !request.is_all_offered()) return std::nullopt;
  const Way way = choose_way(request, Bytes(0), now).way;
  if (way == Part::kBase) return request.steepest_stage();
  // A whole part on top of stages sends the same rows twice: only where it leads to the target.
  std::optional<Refinement> best;
  const PartsPerMillion quality = request.levels().whole(way);
  for (std::size_t index = 0; index < request.units().size(); ++index) {
    const UnitState& unit = request.units()[index];
    if (!unit.is_offered() || unit.is_whole_planned() || unit.states[way] != PartState::kOffered) continue;
    const PartsPerMillion before = planned_quality(unit, request.levels());
    if (quality <= before) continue;
    const WideCount gain = static_cast<WideCount>((quality - before).count()) * unit.raw.count();
    const Bytes bytes = unit.sizes[way];
    if (best && gain * best->bytes.count() <= best->gain * bytes.count()) continue;
    best = Refinement{index, way, bytes, gain};
  }
  return best;
}

bool Planner::fits(const RequestState& request, const Refinement& refinement, const Limit& limit, Instant now) const {
  Work work;
  work.wire = refinement.bytes;
  work.last_wire = refinement.bytes;
  work.decode = decode_time(board_.decode(), refinement.part, request.units()[refinement.unit].raw);
  work.last_decode = work.decode;
  const Road road{board_.requests().floor_bytes(), board_.rate(now), now};
  const Instant at = forecast(board_, request, work, road);
  return at + (at - now) / kSpare <= limit.at;
}

bool Planner::grant_refinement(Instant now, Actions& out) {
  RequestList& requests = board_.requests();
  // Bases come first: while one could be granted and there is no room, nothing else is. The next arrival goes on where
  // one event stops.
  for (std::size_t tries = 0; !requests.has_bare(); ++tries) {
    if (tries >= kMostTries && board_.in_flight().count() > 0) return false;
    Listed* listed = requests.steepest();
    if (listed == nullptr) return false;
    RequestState& request = listed->state;
    const auto best = steepest(request, now);
    if (best && fits(request, *best, refinement_limit(request, now), now)) {
      if (!board_.has_room(now)) return false;
      Inputs inputs = board_.inputs(request, now);
      inputs.bytes = best->bytes;
      inputs.predicted = time_to_send(board_.in_flight().bytes() + best->bytes, inputs.rate);
      board_.grant(request, {best->unit, best->part, Reason::kSteepestRefinement, inputs}, out);
      refresh(*listed, now);
      return true;
    }
    if (end_refined(request, best, now, out)) return true;
    // Until it is looked at again.
    Figures figures = listed->figures;
    figures.slope = 0;
    requests.note(*listed, figures);
  }
  return false;
}

void Planner::set_timer(Listed& listed, Instant now) {
  const RequestState& request = listed.state;
  // What has no other way and is not whole yet ends at its last call, or with an event of its own.
  const bool waits_for_others = !is_at_floor(request) && request.opened().recompute == Duration::max() &&
                                request.opened().deadline_kind == DeadlineKind::kHard &&
                                now < board_.last_call(request);
  if (waits_for_others && !waits_for_offers(request, now))
    return board_.requests().wake(listed, board_.last_call(request));
  Instant next = now + (waits_for_offers(request, now) ? kShortestRecheck : kLongestRecheck);
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
  board_.requests().wake(listed, next);
}

}  // namespace sluice::scheduler
