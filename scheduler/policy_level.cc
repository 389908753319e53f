#include "scheduler/policy_level.h"

#include <algorithm>

#include "scheduler/forecast.h"

namespace sluice::scheduler {
namespace {

/// Levels of the envelope, each with the part that stands for it.
const std::vector<std::vector<Part>>& envelope() {
  static const std::vector<std::vector<Part>> levels = {
      {Part::kRaw},
      {Part::kLossless},
      {Part::kInt8},
      {Part::kBase, Part::kRefinement1, Part::kRefinement2, Part::kRefinement3},
      {Part::kBase, Part::kRefinement1, Part::kRefinement2},
      {Part::kBase, Part::kRefinement1},
      {Part::kBase}};
  return levels;
}

/// Chunks from the first on that are whole with these parts.
std::uint32_t whole_chunks(const RequestState& request, const std::vector<Part>& parts) {
  if (request.chunks() == 0) return 0;
  const std::size_t groups = request.units().size() / request.chunks();
  std::size_t index = 0;
  const auto is_whole = [&](const UnitState& unit) {
    return unit.front == Front::kComputed ||
           std::all_of(parts.begin(), parts.end(), [&](Part part) { return unit.states[part] == PartState::kArrived; });
  };
  while (index < request.units().size() && is_whole(request.units()[index])) ++index;
  return static_cast<std::uint32_t>(index / groups);
}

}  // namespace

LevelPolicy::LevelPolicy(std::string name, LevelRules rules, const PolicyOptions& options)
    : name_(std::move(name)),
      rules_(std::move(rules)),
      takes_all_(rules_.parts.empty() && !rules_.is_envelope),
      board_(options) {
  if (takes_all_) rules_.parts.assign(kAllParts.begin(), kAllParts.end());
}

LevelPolicy::Progress& LevelPolicy::progress_of(RequestId request) {
  return *std::find_if(progress_.begin(), progress_.end(),
                       [&](const Progress& progress) { return progress.request == request; });
}

void LevelPolicy::on(const Event& event, Instant now, Actions& out) {
  Listed* touched = board_.apply(event, now, out);
  if (std::holds_alternative<RequestOpened>(event) && touched != nullptr) {
    // In the order of service, where it does not change: a new one starts level with who was served least.
    Bytes least = progress_.empty() ? Bytes(0) : Bytes::max();
    for (const Progress& progress : progress_) least = std::min(least, progress.served);
    progress_.push_back(Progress{touched->state.id(), ++arrivals_, least, 0, rules_.parts});
  }
  if (touched != nullptr) {
    Progress& progress = progress_of(touched->state.id());
    if (rules_.is_envelope && progress.parts.empty() && touched->state.offered_units() > 0) {
      choose_level(touched->state, progress, now);
    }
    if (!std::holds_alternative<PartArrived>(event)) progress.cursor = 0;
    if (rules_.is_two_ended)
      board_.requests().note(*touched, Figures{.wants_compute = touched->state.is_all_offered()});
    end_if_over(touched->state, now, out);
  }
  for (std::size_t place = 0; place < board_.requests().size();) {
    RequestState& request = board_.requests().at(place).state;
    if (now < end_by(request) || !end_if_over(request, now, out)) ++place;
  }
  std::erase_if(progress_,
                [&](const Progress& progress) { return board_.requests().find(progress.request) == nullptr; });
  compute_front(now, out);
  while (board_.has_room(now) && grant_next(now, out)) {
  }
}

void LevelPolicy::choose_level(const RequestState& request, Progress& progress, Instant now) const {
  Instant soonest = Instant::never();
  for (const std::vector<Part>& level : envelope()) {
    const PartTable<PartTotal>& offered = request.offered_totals();
    const bool is_offered = std::all_of(level.begin(), level.end(), [&](Part part) { return offered[part].count > 0; });
    if (!is_offered || request.levels().points[level.back()] < request.floor()) continue;
    Bytes wire;
    for (const Part part : level) wire += offered[part].wire;
    const Bytes rows = request.offered_rows();
    const Instant at = now + time_to_send(wire, board_.rate(now)) + decode_time(board_.decode(), level.back(), rows);
    if (at >= soonest) continue;
    soonest = at;
    progress.parts = level;
  }
}

bool LevelPolicy::asks_for(const RequestState& request, const Progress& progress, Part part) const {
  return request.wants(part) && std::find(progress.parts.begin(), progress.parts.end(), part) != progress.parts.end();
}

bool LevelPolicy::has_arrived(const RequestState& request, const Progress& progress, std::size_t count) const {
  if (!request.is_all_offered()) return false;
  const auto last = progress.parts.begin() + static_cast<std::ptrdiff_t>(std::min(count, progress.parts.size()));
  return std::all_of(request.units().begin(), request.units().end(), [&](const UnitState& unit) {
    if (!unit.is_offered() || unit.front == Front::kComputed) return true;
    return std::all_of(progress.parts.begin(), last, [&](Part part) {
      return !asks_for(request, progress, part) || unit.states[part] == PartState::kArrived ||
             (takes_all_ && unit.states[part] == PartState::kAbsent);
    });
  });
}

Instant LevelPolicy::timeout_of(const RequestState& request) const {
  if (rules_.timeout.count() == 0) return Instant::never();
  const auto tokens = static_cast<std::int64_t>(std::min<std::uint64_t>(request.opened().tokens.count(), 1U << 30U));
  return request.opened_at() + (rules_.timeout + rules_.timeout_per_token * tokens);
}

Instant LevelPolicy::end_by(const RequestState& request) const {
  const bool is_hard = request.opened().deadline_kind == DeadlineKind::kHard || rules_.anchor_parts > 0;
  return std::min(is_hard ? board_.last_call(request) : Instant::never(), timeout_of(request));
}

Instant LevelPolicy::wake_at() const {
  Instant next = Instant::never();
  board_.requests().walk([&](const Listed& request) {
    next = std::min(next, end_by(request.state));
    return true;
  });
  return next;
}

bool LevelPolicy::end_if_over(RequestState& request, Instant now, Actions& out) {
  const Progress& progress = progress_of(request.id());
  const bool asks_nothing = std::none_of(progress.parts.begin(), progress.parts.end(),
                                         [&](Part part) { return asks_for(request, progress, part); });
  const Inputs inputs = board_.inputs(request, now);
  if (!asks_nothing && request.offered_units() > 0 && has_arrived(request, progress, progress.parts.size())) {
    board_.complete(request, {Reason::kLevelDelivered, inputs}, out);
    return true;
  }
  bool is_lost = false;
  bool is_missing = false;
  for (const UnitState& unit : request.units()) {
    if (!unit.is_offered() || unit.front == Front::kComputed) continue;
    const auto has = [&](PartState state) {
      return std::any_of(progress.parts.begin(), progress.parts.end(),
                         [&](Part part) { return asks_for(request, progress, part) && unit.states[part] == state; });
    };
    is_lost = is_lost || has(PartState::kLost);
    is_missing = is_missing || asks_nothing || (!takes_all_ && request.is_sealed() && has(PartState::kAbsent));
  }
  if (is_lost || is_missing) {
    board_.recompute(request, {is_lost ? Reason::kPartLost : Reason::kPartNotOffered, inputs}, out);
    return true;
  }
  return end_late(request, progress, now, out);
}

bool LevelPolicy::end_late(RequestState& request, const Progress& progress, Instant now, Actions& out) {
  Inputs inputs = board_.inputs(request, now);
  if (now >= end_by(request)) {
    if (rules_.anchor_parts > 0 && request.offered_units() > 0 && has_arrived(request, progress, rules_.anchor_parts)) {
      board_.complete(request, {Reason::kDeadlineNear, inputs}, out);
      return true;
    }
    if (request.opened().deadline_kind != DeadlineKind::kHard && now < timeout_of(request)) return false;
    const Reason reason = now >= timeout_of(request) ? Reason::kTimedOut : Reason::kDeadlinePassed;
    board_.recompute(request, {reason, inputs}, out, whole_chunks(request, progress.parts));
    return true;
  }
  if (!rules_.drops_late || !request.is_all_offered()) return false;
  for (const Part part : progress.parts) inputs.bytes += request.open()[part].wire;
  inputs.predicted = time_to_send(inputs.bytes, board_.rate(now));
  if (now + inputs.predicted <= board_.last_call(request)) return false;
  board_.recompute(request, {Reason::kDropped, inputs}, out);
  return true;
}

void LevelPolicy::compute_front(Instant now, Actions& out) {
  if (!rules_.is_two_ended || !board_.options().computes_front || board_.is_computing()) return;
  Listed* listed = board_.requests().first_computing();
  if (listed == nullptr || !listed->state.opened().prefill) return;
  RequestState& request = listed->state;
  // The next chunk, unless its units are all on their way already.
  if (request.computed_chunks() == request.chunks()) return;
  const std::size_t groups = request.units().size() / request.chunks();
  const std::size_t first = request.computed_chunks() * groups;
  const Progress& progress = progress_of(request.id());
  const bool is_sent = std::all_of(progress.parts.begin(), progress.parts.end(),
                                   [&](Part part) { return request.units()[first].is_planned(part); });
  if (is_sent) return;
  request.reserve(request.computed_chunks() + 1);
  board_.compute(request, board_.inputs(request, now), out);
}

bool LevelPolicy::is_served_before(const Progress& left, const Progress& right) const {
  if (rules_.order == ServiceOrder::kFair && left.served != right.served) return left.served < right.served;
  return left.arrival < right.arrival;
}

bool LevelPolicy::grant_next(Instant now, Actions& out) {
  if (rules_.order == ServiceOrder::kDeadline) {
    for (std::size_t place = 0; place < board_.requests().size(); ++place) {
      RequestState& request = board_.requests().at(place).state;
      if (grant_of(request, progress_of(request.id()), now, out)) return true;
    }
    return false;
  }
  std::sort(progress_.begin(), progress_.end(),
            [&](const Progress& left, const Progress& right) { return is_served_before(left, right); });
  return std::any_of(progress_.begin(), progress_.end(), [&](Progress& progress) {
    return grant_of(board_.requests().find(progress.request)->state, progress, now, out);
  });
}

bool LevelPolicy::grant_of(RequestState& request, Progress& progress, Instant now, Actions& out) {
  const std::size_t units = request.units().size();
  const std::size_t rounds = rules_.anchor_parts == 0 ? 1 : 2;
  for (std::size_t round = 0; round < rounds; ++round) {
    const std::size_t first = round * rules_.anchor_parts;
    const std::size_t last = round + 1 == rounds ? progress.parts.size() : rules_.anchor_parts;
    for (std::size_t place = rounds == 1 ? progress.cursor : 0; place < units; ++place) {
      const std::size_t index = rules_.is_two_ended ? units - 1 - place : place;
      const UnitState& unit = request.units()[index];
      if (unit.front != Front::kNone) continue;
      for (std::size_t i = first; i < last; ++i) {
        const Part part = progress.parts[i];
        if (unit.states[part] != PartState::kOffered) continue;
        Inputs inputs = board_.inputs(request, now);
        inputs.bytes = unit.sizes[part];
        inputs.predicted = time_to_send(board_.in_flight().bytes() + inputs.bytes, inputs.rate);
        progress.served += inputs.bytes;
        progress.cursor = place;
        const Reason reason = rules_.is_envelope ? Reason::kEnvelopeLevel : Reason::kFixedLevel;
        board_.grant(request, {index, part, reason, inputs}, out);
        return true;
      }
    }
  }
  progress.cursor = units;
  return false;
}

void RecomputePolicy::on(const Event& event, Instant now, Actions& out) {
  board_.apply(event, now, out);
  while (!board_.requests().empty()) {
    const RequestState& request = board_.requests().at(0).state;
    board_.recompute(request, {Reason::kPolicyRecomputes, board_.inputs(request, now)}, out);
  }
}

}  // namespace sluice::scheduler
