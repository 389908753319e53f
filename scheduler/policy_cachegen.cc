#include "scheduler/policy_cachegen.h"

#include <algorithm>

namespace sluice::scheduler {
namespace {

using Level = std::vector<Part>;

constexpr std::size_t kArtifactLevels = 3;
constexpr Duration kArtifactText{200'000'000};

bool offers(const UnitState& unit, const Level& level) {
  return std::all_of(level.begin(), level.end(), [&](Part part) { return !unit.sizes[part].is_zero(); });
}

bool has_arrived(const UnitState& unit, const Level& level) {
  return std::all_of(level.begin(), level.end(), [&](Part part) { return unit.states[part] == PartState::kArrived; });
}

/// Least lossy first. Lossless coding stands in for raw where both are offered: the same rows in fewer bytes.
std::vector<Level> levels_of(const RequestState& request, const UnitState& unit) {
  const std::vector<Level> all = {{Part::kLossless},
                                  {Part::kRaw},
                                  {Part::kBase, Part::kRefinement1, Part::kRefinement2, Part::kRefinement3},
                                  {Part::kBase, Part::kRefinement1, Part::kRefinement2},
                                  {Part::kBase, Part::kRefinement1},
                                  {Part::kBase}};
  std::vector<Level> found;
  for (const Level& level : all) {
    if (offers(unit, level)) found.push_back(level);
  }
  // Levels below the floor are not acceptable, as long as there is another.
  const auto is_below = [&](const Level& level) { return request.levels().points[level.back()] < request.floor(); };
  if (!std::all_of(found.begin(), found.end(), is_below)) std::erase_if(found, is_below);
  return found;
}

/// Bytes of all units from `first` on at a level, those not offered yet in proportion to their rows.
Bytes rest_at(const RequestState& request, std::size_t first, const Level& level) {
  Bytes wire;
  Bytes rows;
  for (std::size_t index = first; index < request.units().size(); ++index) {
    const UnitState& unit = request.units()[index];
    if (!unit.is_offered()) continue;
    rows += unit.raw;
    for (const Part part : level) wire += unit.sizes[part];
  }
  if (rows.is_zero()) return wire;
  const WideCount missing = static_cast<WideCount>(wire.count()) * request.missing_rows().count() / rows.count();
  return wire + Bytes(static_cast<std::uint64_t>(missing));
}

}  // namespace

void CacheGenPolicy::on(const Event& event, Instant now, Actions& out) {
  board_.apply(event, now, out);
  track(event, now);
  for (std::size_t place = 0; place < board_.requests().size();) {
    if (!end_if_over(board_.requests().at(place).state, now, out)) ++place;
  }
  bool has_moved = true;
  while (has_moved && board_.has_room(now)) {
    has_moved = false;
    for (std::size_t place = 0; place < board_.requests().size() && !has_moved; ++place) {
      has_moved = step(board_.requests().at(place).state, now, out);
    }
  }
  std::erase_if(streams_, [&](const Stream& stream) { return board_.requests().find(stream.request) == nullptr; });
}

CacheGenPolicy::Stream& CacheGenPolicy::stream_of(RequestId request) {
  const auto found =
      std::find_if(streams_.begin(), streams_.end(), [&](const Stream& stream) { return stream.request == request; });
  if (found != streams_.end()) return *found;
  streams_.push_back(Stream{.request = request});
  return streams_.back();
}

void CacheGenPolicy::track(const Event& event, Instant now) {
  if (const auto* sample = std::get_if<LinkSample>(&event)) {
    told_ = std::max(rate_of(sample->bytes, sample->duration), BitsPerSecond(1));
  }
  const auto* arrived = std::get_if<PartArrived>(&event);
  if (arrived == nullptr) return;
  Listed* listed = board_.requests().find(arrived->unit.request);
  if (listed == nullptr) return;
  Stream& stream = stream_of(listed->state.id());
  const auto index = listed->state.index_of(arrived->unit);
  if (!index || *index < stream.first || *index >= stream.last) return;
  stream.arrived += arrived->bytes;
  const BitsPerSecond rate = rate_of(stream.arrived, now - stream.started);
  if (!rate.is_zero()) stream.throughput = rate;
}

bool CacheGenPolicy::is_delivered(const RequestState& request) {
  if (!request.is_all_offered() || request.parts_in_flight() > 0) return false;
  const Stream& stream = stream_of(request.id());
  for (std::size_t index = 0; index < request.units().size(); ++index) {
    const UnitState& unit = request.units()[index];
    if (!unit.is_offered()) continue;
    if (index >= stream.last || stream.levels[index].empty()) return false;
    if (!has_arrived(unit, stream.levels[index])) return false;
  }
  return true;
}

bool CacheGenPolicy::end_if_over(const RequestState& request, Instant now, Actions& out) {
  const Inputs inputs = board_.inputs(request, now);
  if (is_delivered(request)) {
    board_.complete(request, {Reason::kLevelDelivered, inputs}, out);
    return true;
  }
  const bool is_hard = request.opened().deadline_kind == DeadlineKind::kHard;
  if (request.is_sealed() && request.hopeless() > 0) {
    board_.recompute(request, {request.has_lost_part() ? Reason::kPartLost : Reason::kPartNotOffered, inputs}, out);
  } else if (is_hard && now >= board_.last_call(request)) {
    board_.recompute(request, {Reason::kDeadlinePassed, inputs}, out);
  } else {
    return false;
  }
  return true;
}

bool CacheGenPolicy::step(RequestState& request, Instant now, Actions& out) {
  Stream& stream = stream_of(request.id());
  if (grant_started(request, stream, out)) return true;
  if (request.parts_in_flight() > 1) return false;
  return start_chunk(request, stream, now, out);
}

bool CacheGenPolicy::grant_started(RequestState& request, const Stream& stream, Actions& out) {
  for (std::size_t index = 0; index < stream.last; ++index) {
    for (const Part part : stream.levels[index]) {
      if (request.units()[index].states[part] != PartState::kOffered) continue;
      board_.grant(request, {index, part, stream.reason, stream.inputs}, out);
      return true;
    }
  }
  return false;
}

bool CacheGenPolicy::start_chunk(RequestState& request, Stream& stream, Instant now, Actions& out) {
  if (stream.last >= request.units().size()) return false;
  const std::uint32_t chunk = request.key(stream.last).chunk.value();
  std::size_t end = stream.last;
  while (end < request.units().size() && request.key(end).chunk.value() == chunk) {
    // A chunk is chosen as a whole: wait for all its layer groups.
    if (!request.units()[end].is_offered()) return false;
    ++end;
  }
  stream.first = stream.last;
  stream.last = end;
  stream.levels.resize(end);
  stream.started = now;
  stream.arrived = Bytes(0);
  return choose_level(request, stream, now, out);
}

bool CacheGenPolicy::choose_level(const RequestState& request, Stream& stream, Instant now, Actions& out) {
  const std::vector<Level> levels = levels_of(request, request.units()[stream.first]);
  stream.inputs = board_.inputs(request, now);
  if (levels.empty()) return false;
  const auto settle = [&](const Level& level) {
    std::fill(stream.levels.begin() + static_cast<std::ptrdiff_t>(stream.first), stream.levels.end(), level);
    return true;
  };
  if (rule_ == CacheGenRule::kArtifact) return choose_by_share(request, stream, levels, out);
  // Nothing is known before the first chunk: the middle of the lossy levels.
  if (stream.throughput.is_zero()) return settle(levels.size() > 1 ? levels[levels.size() - 2] : levels.front());
  stream.inputs.rate = stream.throughput;
  for (const Level& level : levels) {
    stream.inputs.bytes = rest_at(request, stream.first, level);
    stream.inputs.predicted = time_to_send(stream.inputs.bytes, stream.throughput);
    if (stream.inputs.predicted <= stream.inputs.slack) return settle(level);
  }
  if (request.opened().recompute > stream.inputs.slack) return settle(levels.back());
  board_.recompute(request, {Reason::kCacheGenText, stream.inputs}, out);
  return true;
}

bool CacheGenPolicy::choose_by_share(const RequestState& request, Stream& stream, const std::vector<Level>& levels,
                                     Actions& out) {
  const auto chunks = static_cast<std::int64_t>(std::max<std::size_t>(1, request.chunks_expected()));
  const Duration share = (request.opened().deadline - request.opened_at()) / chunks;
  const BitsPerSecond known = told_.is_zero() ? stream.throughput : told_;
  stream.inputs.rate = known.is_zero() ? board_.options().nominal_rate : known;
  // The three most lossy, least lossy of them first.
  const std::size_t first = levels.size() > kArtifactLevels ? levels.size() - kArtifactLevels : 0;
  const Level* chosen = nullptr;
  for (std::size_t i = first; i < levels.size() && chosen == nullptr; ++i) {
    Bytes wire;
    for (std::size_t index = stream.first; index < stream.last; ++index) {
      for (const Part part : levels[i]) wire += request.units()[index].sizes[part];
    }
    stream.inputs.bytes = wire;
    stream.inputs.predicted = time_to_send(wire, stream.inputs.rate);
    if (stream.inputs.predicted <= share) chosen = &levels[i];
  }
  if (chosen == nullptr && kArtifactText <= share && request.opened().recompute != Duration::max()) {
    board_.recompute(request, {Reason::kCacheGenText, stream.inputs}, out);
    return true;
  }
  const Level& level = chosen == nullptr ? levels.back() : *chosen;
  std::fill(stream.levels.begin() + static_cast<std::ptrdiff_t>(stream.first), stream.levels.end(), level);
  return true;
}

}  // namespace sluice::scheduler
