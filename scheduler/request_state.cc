#include "scheduler/request_state.h"

#include <algorithm>

namespace sluice::scheduler {
namespace {

/// A peer's figures beyond it are not believed: sums stay far inside 64 bits.
constexpr Bytes kMostUnitBytes{std::uint64_t{1} << 31};

bool is_there(PartState state) { return state == PartState::kInFlight || state == PartState::kArrived; }
bool is_possible(PartState state) { return is_there(state) || state == PartState::kOffered; }

/// Quality of a unit when the parts count whose state passes `counts`.
template <typename Counts>
PartsPerMillion quality_where(const UnitState& unit, const Levels& levels, Counts counts) {
  // Reserved rows stand for a part in flight.
  if (unit.front == Front::kComputed) return kExactQuality;
  if (unit.front == Front::kReserved && counts(PartState::kInFlight)) return kExactQuality;
  PartsPerMillion best(0);
  for (const Part part : kWholeParts) {
    if (counts(unit.states[part])) best = std::max(best, levels.whole(part));
  }
  for (std::size_t stage = 0; stage < kStageParts && counts(unit.states[kAllParts[stage]]); ++stage) {
    best = std::max(best, levels.stages[stage]);
  }
  return best;
}

WideCount weighted(PartsPerMillion quality, Bytes rows) {
  return static_cast<WideCount>(quality.count()) * rows.count();
}

/// Adds or takes out, with the same call.
struct Add {
  void operator()(Bytes& held, Bytes more) const { held += more; }
  void operator()(WideCount& held, WideCount more) const { held += more; }
  void operator()(std::uint64_t& held, std::uint64_t more) const { held += more; }
};
struct Take {
  void operator()(Bytes& held, Bytes less) const { held -= less; }
  void operator()(WideCount& held, WideCount less) const { held -= less; }
  void operator()(std::uint64_t& held, std::uint64_t less) const { held -= less; }
};

}  // namespace

Levels::Levels(const QualityCurve& curve) {
  PartsPerMillion highest(0);
  for (std::size_t stage = 0; stage < kStageParts; ++stage) {
    highest = std::max(highest, std::min(curve.points[kAllParts[stage]], kExactQuality));
    stages[stage] = highest;
    points[kAllParts[stage]] = highest;
  }
  for (const Part part : kWholeParts) points[part] = std::min(curve.points[part], kExactQuality);
}

bool UnitState::is_planned(Part part) const { return is_there(states[part]); }

bool UnitState::is_whole_planned() const {
  return front != Front::kNone ||
         std::any_of(kWholeParts.begin(), kWholeParts.end(), [&](Part part) { return is_planned(part); });
}

std::size_t UnitState::stages_planned() const {
  std::size_t stage = 0;
  while (stage < kStageParts && is_there(states[kAllParts[stage]])) ++stage;
  return stage;
}

std::size_t UnitState::stages_arrived() const {
  std::size_t stage = 0;
  while (stage < kStageParts && states[kAllParts[stage]] == PartState::kArrived) ++stage;
  return stage;
}

bool UnitState::has_grantable_part() const {
  return next_stage().has_value() || std::any_of(kWholeParts.begin(), kWholeParts.end(),
                                                 [&](Part part) { return states[part] == PartState::kOffered; });
}

std::optional<Part> UnitState::next_stage() const {
  const std::size_t stage = stages_planned();
  if (stage == kStageParts || states[kAllParts[stage]] != PartState::kOffered) return std::nullopt;
  return kAllParts[stage];
}

PartsPerMillion planned_quality(const UnitState& unit, const Levels& levels) {
  return quality_where(unit, levels, is_there);
}

PartsPerMillion arrived_quality(const UnitState& unit, const Levels& levels) {
  return quality_where(unit, levels, [](PartState state) { return state == PartState::kArrived; });
}

std::uint64_t slope_of(WideCount gain, Bytes bytes) {
  const WideCount slope = (gain << 20U) / std::max<std::uint64_t>(1, bytes.count());
  return static_cast<std::uint64_t>(std::min<WideCount>(slope, ~std::uint64_t{0}));
}

void RequestState::reuse(const RequestOpened& opened, Instant now, const Levels& levels) {
  std::vector<UnitState> units = std::move(units_);
  std::vector<Proposal> proposals = std::move(proposals_);
  *this = RequestState(opened, now, levels);
  units.clear();
  proposals.clear();
  units_ = std::move(units);
  proposals_ = std::move(proposals);
}

RequestState::RequestState(const RequestOpened& opened, Instant now, const Levels& levels)
    : opened_(opened), opened_at_(now), levels_(levels), last_sign_(now) {
  bool is_useful = true;
  for (std::size_t stage = 0; stage < kStageParts; ++stage) {
    is_useful = is_useful && opened_.wanted[kAllParts[stage]];
    opened_.wanted[kAllParts[stage]] = is_useful;
  }
}

UnitKey RequestState::key(std::size_t index) const {
  const auto place = static_cast<std::uint32_t>(index);
  return UnitKey{id(), ChunkIndex(place / groups_), LayerGroupIndex(place % groups_)};
}

std::optional<std::size_t> RequestState::index_of(UnitKey unit) const {
  if (!is_accepted_ || unit.group.value() >= groups_) return std::nullopt;
  const std::size_t index = static_cast<std::size_t>(unit.chunk.value()) * groups_ + unit.group.value();
  if (index >= units_.size()) return std::nullopt;
  return index;
}

void RequestState::accept(const Accepted& accepted, Instant now) {
  if (is_accepted_) return;
  is_accepted_ = true;
  accepted_at_ = now;
  last_sign_ = now;
  groups_ = std::max<std::uint32_t>(1, accepted.groups);
  announced_rows_ = std::min(accepted.raw, Bytes(std::uint64_t{1} << 50));
  expected_ = static_cast<std::size_t>(accepted.chunks) * accepted.groups;
  units_.resize(expected_);
  // Each unit's next stage, and as many stale ones.
  proposals_.reserve(expected_ * 2);
}

void RequestState::propose(std::size_t index) {
  const UnitState& unit = units_[index];
  const std::size_t stage = unit.stages_planned();
  const PartsPerMillion before = stage == 0 ? PartsPerMillion(0) : levels_.stages[stage - 1];
  const WideCount gain = weighted(levels_.stages[stage] - before, unit.raw);
  const Part part = kAllParts[stage];
  proposals_.push_back({slope_of(gain, unit.sizes[part]), static_cast<std::uint32_t>(index), part});
  std::push_heap(proposals_.begin(), proposals_.end(), is_flatter);
}

std::optional<Refinement> RequestState::steepest_stage() {
  while (!proposals_.empty()) {
    const Proposal& best = proposals_.front();
    const UnitState& unit = units_[best.unit];
    if (best.slope > 0 && !unit.is_whole_planned() && unit.next_stage() == best.part) {
      const std::size_t stage = part_place(best.part);
      const PartsPerMillion before = stage == 0 ? PartsPerMillion(0) : levels_.stages[stage - 1];
      return Refinement{best.unit, best.part, unit.sizes[best.part],
                        weighted(levels_.stages[stage] - before, unit.raw)};
    }
    std::pop_heap(proposals_.begin(), proposals_.end(), is_flatter);
    proposals_.pop_back();
  }
  return std::nullopt;
}

void RequestState::reserve(std::uint32_t chunks) {
  SLUICE_ASSERT(is_all_offered());
  const bool was_from_back = is_from_back();
  chunks = std::clamp(chunks, computed_, this->chunks());
  const std::uint32_t first = std::min(chunks, reserved_);
  const std::uint32_t last = std::max(chunks, reserved_);
  reserved_ = chunks;
  for (std::size_t index = std::size_t{first} * groups_; index < std::size_t{last} * groups_; ++index) {
    if (!units_[index].is_offered()) continue;
    change(index, [&](UnitState& unit) {
      unit.front = index < std::size_t{chunks} * groups_ ? Front::kReserved : Front::kNone;
    });
    rewind(index);
  }
  if (is_from_back() != was_from_back) untouched_cursor_ = needy_cursor_ = 0;
}

bool RequestState::compute(std::uint32_t chunks, Instant now) {
  chunks = std::min(chunks, this->chunks());
  if (chunks <= computed_ || !is_all_offered()) return false;
  if (chunks > reserved_) reserve(chunks);
  for (std::size_t index = std::size_t{computed_} * groups_; index < std::size_t{chunks} * groups_; ++index) {
    if (units_[index].is_offered()) change(index, [](UnitState& unit) { unit.front = Front::kComputed; });
  }
  computed_ = chunks;
  last_sign_ = now;
  return true;
}

void RequestState::rewind(std::size_t index) {
  untouched_cursor_ = std::min(untouched_cursor_, in_order(index));
  needy_cursor_ = std::min(needy_cursor_, in_order(index));
}

void RequestState::seal(Units units) {
  if (!is_accepted_) return;
  is_sealed_ = true;
  // Fewer than announced is possible (the last chunk of a hand-over); more is not, and is not believed.
  expected_ = std::min<std::size_t>(expected_, static_cast<std::size_t>(units.count()));
  if (offered_ >= expected_) announced_rows_ = offered_rows_;
}

template <typename Apply>
void RequestState::tally(const UnitState& unit, Apply apply) {
  if (!unit.is_offered()) return;
  const PartsPerMillion planned = planned_quality(unit, levels_);
  const PartsPerMillion reachable = quality_where(unit, levels_, is_possible);
  apply(quality_.arrived, weighted(arrived_quality(unit, levels_), unit.raw));
  apply(quality_.planned, weighted(planned, unit.raw));
  apply(quality_.reachable, weighted(reachable, unit.raw));
  const bool is_needy = planned < floor();
  if (is_needy) apply(below_floor_planned_, 1);
  if (arrived_quality(unit, levels_) < floor()) apply(below_floor_arrived_, 1);
  if (reachable < floor()) apply(hopeless_, 1);
  if (unit.is_whole_planned()) return;
  apply(quality_.open_planned, weighted(planned, unit.raw));
  if (is_needy) apply(quality_.needed_planned, weighted(planned, unit.raw));
  for (const Part part : kAllParts) {
    if (unit.states[part] != PartState::kOffered) continue;
    for (PartTable<PartTotal>* totals : {&open_, &needed_}) {
      if (totals == &needed_ && !is_needy) continue;
      PartTotal& total = (*totals)[part];
      apply(total.wire, unit.sizes[part]);
      apply(total.rows, unit.raw);
      apply(total.count, 1);
    }
  }
}

template <typename Change>
void RequestState::change(std::size_t index, Change change_unit) {
  UnitState& unit = units_[index];
  const auto before = unit.is_offered() && !unit.is_whole_planned() ? unit.next_stage() : std::nullopt;
  tally(unit, Take{});
  change_unit(unit);
  tally(unit, Add{});
  const auto after = unit.is_offered() && !unit.is_whole_planned() ? unit.next_stage() : std::nullopt;
  if (after && after != before) propose(index);
}

bool RequestState::offer(const Offered& offered, Instant now) {
  const std::optional<std::size_t> index = index_of(offered.unit);
  if (!index || offered.raw.is_zero() || offered.raw > kMostUnitBytes) return false;
  const UnitState& known = units_[*index];
  if (known.is_offered() && known.raw != offered.raw) return false;
  const bool is_first = !known.is_offered();
  bool has_changed = false;
  change(*index, [&](UnitState& unit) {
    for (const Part part : kAllParts) {
      const Bytes size = offered.sizes[part];
      if (!wants(part) || size.is_zero() || size > kMostUnitBytes || unit.states[part] != PartState::kAbsent) continue;
      unit.raw = offered.raw;
      unit.sizes[part] = size;
      unit.states[part] = PartState::kOffered;
      PartTotal& total = offered_totals_[part];
      total.wire += size;
      total.rows += offered.raw;
      ++total.count;
      has_changed = true;
    }
  });
  if (!has_changed) return false;
  last_sign_ = now;
  rewind(*index);
  if (!is_first) return true;
  ++offered_;
  offered_rows_ += offered.raw;
  last_offer_ = now;
  return true;
}

void RequestState::grant(std::size_t index, Part part, Instant now) {
  SLUICE_ASSERT(units_[index].states[part] == PartState::kOffered);
  change(index, [&](UnitState& unit) {
    unit.states[part] = PartState::kInFlight;
    ++unit.attempts[part];
  });
  ++parts_in_flight_;
  first_grant_ = std::min(first_grant_, now);
}

bool RequestState::arrive(std::size_t index, Part part, Instant now) {
  if (units_[index].states[part] != PartState::kInFlight) return false;
  change(index, [&](UnitState& unit) { unit.states[part] = PartState::kArrived; });
  --parts_in_flight_;
  last_sign_ = now;
  return true;
}

bool RequestState::fail(std::size_t index, Part part, std::uint32_t most_attempts) {
  if (units_[index].states[part] != PartState::kInFlight) return false;
  change(index, [&](UnitState& unit) {
    unit.states[part] = unit.attempts[part] < most_attempts ? PartState::kOffered : PartState::kLost;
  });
  --parts_in_flight_;
  rewind(index);
  return true;
}

bool RequestState::has_lost_part() const {
  return std::any_of(units_.begin(), units_.end(), [](const UnitState& unit) {
    return std::any_of(kAllParts.begin(), kAllParts.end(),
                       [&](Part part) { return unit.states[part] == PartState::kLost; });
  });
}

Bytes RequestState::missing_rows() const {
  if (missing_units() == 0 || announced_rows_ <= offered_rows_) return Bytes(0);
  return announced_rows_ - offered_rows_;
}

PartsPerMillion RequestState::mean_arrived() const {
  if (offered_rows_.is_zero()) return kExactQuality;
  return PartsPerMillion(static_cast<std::uint64_t>(quality_.arrived / offered_rows_.count()));
}

WideCount RequestState::target_sum() const {
  const PartsPerMillion wanted = std::min(std::max(opened_.quality_target, floor()), kExactQuality);
  return std::min(weighted(wanted, offered_rows_), quality_.reachable);
}

std::optional<std::size_t> RequestState::scan(std::size_t& cursor, bool wants_untouched) const {
  for (; cursor < units_.size(); ++cursor) {
    const UnitState& unit = units_[in_order(cursor)];
    // Units that have nothing to grant yet are passed by: an offer sets the cursor back.
    if (!unit.has_grantable_part() || planned_quality(unit, levels_) >= floor()) continue;
    if (!wants_untouched || unit.stages_planned() == 0) return in_order(cursor);
  }
  return std::nullopt;
}

std::optional<std::size_t> RequestState::next_needy() {
  if (below_floor_planned_ == 0) return std::nullopt;
  const std::optional<std::size_t> untouched = scan(untouched_cursor_, true);
  return untouched ? untouched : scan(needy_cursor_, false);
}

}  // namespace sluice::scheduler
