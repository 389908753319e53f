// What a policy knows of one request: its units, the state of each part, and running totals, so that a decision costs
// the same however long the prompt is. Changes only through the functions here; totals always equal a recount.
// Place in the flow: owned by Board, read by the policies.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "scheduler/event.h"
#include "scheduler/quality.h"

namespace sluice::scheduler {

/// kLost: failed too often, never granted again.
enum class PartState : std::uint8_t { kAbsent, kOffered, kInFlight, kArrived, kLost };

/// A curve made safe: stages never lose quality, nothing exceeds exact.
struct Levels {
  explicit Levels(const QualityCurve& curve);
  /// Quality with stages 0..stage there.
  std::array<PartsPerMillion, kStageParts> stages;
  /// Quality of a part that is a whole unit alone.
  PartsPerMillion whole(Part part) const { return points[part]; }
  PartTable<PartsPerMillion> points;
};

/// Whether a unit's rows come from this node's own prefill instead: kept for it, or there.
enum class Front : std::uint8_t { kNone, kReserved, kComputed };

/// Parts that are a whole unit alone.
inline constexpr std::array<Part, 3> kWholeParts = {Part::kRaw, Part::kLossless, Part::kInt8};

/// What is known of one unit: its size once offered, and of each part the size, the state and how often it was granted.
struct UnitState {
  Bytes raw;
  PartSizes sizes;
  PartTable<PartState> states;
  PartTable<std::uint8_t> attempts;
  Front front = Front::kNone;

  bool is_offered() const { return !raw.is_zero(); }
  /// In flight or arrived.
  bool is_planned(Part part) const;
  /// A whole part is planned, or the rows are computed here: nothing else is worth sending.
  bool is_whole_planned() const;
  /// How many stages from the base on are there without a gap, in flight included or not.
  std::size_t stages_planned() const;
  std::size_t stages_arrived() const;
  bool has_grantable_part() const;
  /// The first stage that is not planned, if it can be granted.
  std::optional<Part> next_stage() const;
};

/// One refinement that could be granted: quality x rows gained for so many bytes.
struct Refinement {
  std::size_t unit = 0;
  Part part = Part::kBase;
  Bytes bytes;
  WideCount gain = 0;
};
/// Gain per byte in 2^-20 ppm x bytes; saturates.  Threads: pure.
std::uint64_t slope_of(WideCount gain, Bytes bytes);

/// Quality of a unit by its parts in flight and arrived, or by the arrived ones alone; computed rows are exact.
/// Threads: pure.
PartsPerMillion planned_quality(const UnitState& unit, const Levels& levels);
PartsPerMillion arrived_quality(const UnitState& unit, const Levels& levels);

/// Sum over units of one part.
struct PartTotal {
  Bytes wire;
  Bytes rows;
  std::uint64_t count = 0;
  bool operator==(const PartTotal&) const = default;
};

/// Quality x rows, in ppm x bytes.
struct QualitySum {
  WideCount arrived = 0;
  WideCount planned = 0;
  WideCount reachable = 0;
  /// Planned, of units that no whole part covers; and of those below the floor among them.
  WideCount open_planned = 0;
  WideCount needed_planned = 0;
};

/// Threads: as its owner.
class RequestState {
 public:
  RequestState(const RequestOpened& opened, Instant now, const Levels& levels);
  /// Becomes another request; memory is kept.
  void reuse(const RequestOpened& opened, Instant now, const Levels& levels);

  const RequestOpened& opened() const { return opened_; }
  RequestId id() const { return opened_.request; }
  const Levels& levels() const { return levels_; }
  bool wants(Part part) const { return opened_.wanted[part]; }
  Instant opened_at() const { return opened_at_; }
  /// At least one millionth: rows that never arrive are no KV at all.
  PartsPerMillion floor() const { return std::clamp(opened_.quality_floor, PartsPerMillion(1), kExactQuality); }

  bool is_accepted() const { return is_accepted_; }
  /// Every unit that will come has been offered.
  bool is_all_offered() const { return is_accepted_ && offered_ >= expected_; }
  bool is_sealed() const { return is_sealed_; }
  std::size_t offered_units() const { return offered_; }
  std::size_t missing_units() const { return offered_ >= expected_ ? 0 : expected_ - offered_; }
  const std::vector<UnitState>& units() const { return units_; }
  UnitKey key(std::size_t index) const;
  /// Place of a unit in units(); none when it is out of range.
  std::optional<std::size_t> index_of(UnitKey unit) const;

  void accept(const Accepted& accepted, Instant now);
  void seal(Units units);
  /// Returns false when nothing changed (out of range, too large, or nothing new).
  bool offer(const Offered& offered, Instant now);
  void grant(std::size_t index, Part part, Instant now);
  /// False when the part was not in flight.
  bool arrive(std::size_t index, Part part, Instant now);
  bool fail(std::size_t index, Part part, std::uint32_t most_attempts);

  /// Not granted yet, of units below the floor.
  const PartTable<PartTotal>& needed() const { return needed_; }
  /// Not granted yet, of all units that no whole part covers.
  const PartTable<PartTotal>& open() const { return open_; }
  /// As offered, whatever became of it.
  const PartTable<PartTotal>& offered_totals() const { return offered_totals_; }
  Bytes offered_rows() const { return offered_rows_; }
  /// Rows that were announced and not offered yet.
  Bytes missing_rows() const;
  const QualitySum& quality() const { return quality_; }
  /// Units offered whose planned, or arrived, parts are below the floor.
  std::size_t below_floor_planned() const { return below_floor_planned_; }
  std::size_t below_floor_arrived() const { return below_floor_arrived_; }
  /// Units that cannot reach the floor with what is offered so far.
  std::size_t hopeless() const { return hopeless_; }
  /// Whether a part failed for good.
  bool has_lost_part() const;
  std::size_t parts_in_flight() const { return parts_in_flight_; }
  /// Mean over offered units, weighted by rows.
  PartsPerMillion mean_arrived() const;
  /// The request's target, or what can be reached at most where that is less; in ppm x bytes of offered rows.
  WideCount target_sum() const;

  /// How many chunks there are, and how many of them, from the first on, are computed or kept for it.
  std::uint32_t chunks() const { return static_cast<std::uint32_t>(units_.size() / groups_); }
  /// Tokens of the first `chunks` chunks.
  Tokens front_tokens(std::uint32_t chunks) const { return opened_.tokens * chunks / std::max(1U, this->chunks()); }
  std::uint32_t computed_chunks() const { return computed_; }
  std::uint32_t reserved_chunks() const { return reserved_; }
  /// Chunks below `chunks` are kept for compute from now on, those from there on are not; at least the computed ones.
  /// Precondition: is_all_offered().
  void reserve(std::uint32_t chunks);
  /// Chunks below `chunks` are there. False when nothing changed.
  bool compute(std::uint32_t chunks, Instant now);
  /// Units come from the last to the first: their front is computed.
  bool is_from_back() const { return opened_.prefill.has_value() && reserved_ > 0; }

  /// The stage with the steepest gain that can be granted next; units that a whole part covers have none.
  std::optional<Refinement> steepest_stage();

  /// The next unit, in order, that is below the floor and has a part to grant; those without any stage first.
  std::optional<std::size_t> next_needy();

  Instant last_offer() const { return last_offer_; }
  /// When the request's last sign of life came: opened, accepted, an offer, an arrival.
  Instant last_sign() const { return last_sign_; }
  Instant accepted_at() const { return accepted_at_; }
  /// Chunks of which at least one unit was offered, when units come in order; and all chunks there will be.
  std::size_t chunks_begun() const { return (offered_ + groups_ - 1) / groups_; }
  std::size_t chunks_expected() const { return (expected_ + groups_ - 1) / groups_; }
  /// Instant::never() before the first grant.
  Instant first_grant() const { return first_grant_; }

 private:
  /// Adds the unit's share to the totals, or takes it out.
  template <typename Apply>
  void tally(const UnitState& unit, Apply apply);
  template <typename Change>
  void change(std::size_t index, Change change_unit);
  std::optional<std::size_t> scan(std::size_t& cursor, bool wants_untouched) const;
  /// The unit at a place of the order of grants, and back: it is its own inverse.
  std::size_t in_order(std::size_t place) const { return is_from_back() ? units_.size() - 1 - place : place; }
  void rewind(std::size_t index);
  void propose(std::size_t index);

  RequestOpened opened_;
  Instant opened_at_;
  Levels levels_;
  bool is_accepted_ = false;
  bool is_sealed_ = false;
  std::uint32_t groups_ = 1;
  Bytes announced_rows_;
  std::size_t expected_ = 0;
  std::size_t offered_ = 0;
  std::vector<UnitState> units_;
  /// A heap of next stages by slope; entries that are no longer a unit's next stage are stale.
  struct Proposal {
    std::uint64_t slope = 0;
    std::uint32_t unit = 0;
    Part part = Part::kBase;
  };
  static bool is_flatter(const Proposal& left, const Proposal& right) {
    return left.slope != right.slope ? left.slope < right.slope : left.unit > right.unit;
  }
  std::vector<Proposal> proposals_;
  std::uint32_t computed_ = 0;
  std::uint32_t reserved_ = 0;
  PartTable<PartTotal> needed_;
  PartTable<PartTotal> open_;
  PartTable<PartTotal> offered_totals_;
  Bytes offered_rows_;
  QualitySum quality_;
  std::size_t below_floor_planned_ = 0;
  std::size_t below_floor_arrived_ = 0;
  std::size_t hopeless_ = 0;
  std::size_t parts_in_flight_ = 0;
  std::size_t untouched_cursor_ = 0;
  std::size_t needy_cursor_ = 0;
  Instant accepted_at_;
  Instant last_sign_;
  Instant last_offer_;
  Instant first_grant_ = Instant::never();
};

}  // namespace sluice::scheduler
