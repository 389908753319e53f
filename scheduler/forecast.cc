#include "scheduler/forecast.h"

#include <algorithm>

namespace sluice::scheduler {
namespace {

constexpr std::array<Way, 4> kWays = {Part::kBase, Part::kRaw, Part::kLossless, Part::kInt8};
/// Production may yet go faster than its pace so far by this.
constexpr std::int64_t kHopefulPart = 3;
constexpr std::int64_t kHopefulWhole = 4;

Duration saturated_sum(Duration left, Duration right) {
  return left > Duration::max() - right ? Duration::max() : left + right;
}

PartTotal sum(const PartTotal& left, const PartTotal& right) {
  return PartTotal{left.wire + right.wire, left.rows + right.rows, left.count + right.count};
}
PartTotal difference(const PartTotal& left, const PartTotal& right) {
  return PartTotal{left.wire - right.wire, left.rows - right.rows, left.count - right.count};
}

/// The share part/whole of a total, rounded up; the whole total when part >= whole.
PartTotal share(const PartTotal& total, WideCount part, WideCount whole) {
  if (part >= whole) return total;
  // Millionths are enough, and keep the products inside 128 bits.
  const auto ppm = static_cast<std::uint64_t>((part / (whole / 1'000'000U + 1)) + 1);
  const auto scaled = [&](std::uint64_t count) {
    return static_cast<std::uint64_t>(
        (static_cast<WideCount>(count) * std::min<std::uint64_t>(ppm, 1'000'000U) + 999'999U) / 1'000'000U);
  };
  return PartTotal{Bytes(scaled(total.wire.count())), Bytes(scaled(total.rows.count())), scaled(total.count)};
}

/// What the units that are not offered yet will likely add for a part.
PartTotal expected(const Board& board, const RequestState& request, Part part) {
  const Bytes rows = request.missing_rows();
  const PartTotal own = request.offered_totals()[part];
  const bool has_own = !request.offered_rows().is_zero();
  const PartTotal known = has_own ? own : board.seen(part);
  if (rows.is_zero() || known.rows.is_zero()) return PartTotal{};
  const WideCount wire = static_cast<WideCount>(rows.count()) * known.wire.count() / known.rows.count();
  return PartTotal{Bytes(static_cast<std::uint64_t>(wire)), rows, request.missing_units()};
}

/// Adds a part's total to the work; the last unit is an average one.
void add(const Board& board, Part part, const PartTotal& total, Work& work) {
  if (total.count == 0) return;
  const DecodeCosts& costs = board.decode();
  const Duration rows = time_to_send(total.rows, costs.rate[part]);
  const Duration hand_overs =
      costs.per_part * static_cast<std::int64_t>(std::min<std::uint64_t>(total.count, kMostUnits * 8));
  work.wire += total.wire;
  work.decode = saturated_sum(work.decode, saturated_sum(rows, hand_overs));
  work.last_wire += total.wire / total.count;
  work.last_decode = saturated_sum(work.last_decode, decode_time(costs, part, total.rows / total.count));
}

std::size_t floor_stage(const RequestState& request) {
  const auto& stages = request.levels().stages;
  std::size_t stage = 0;
  while (stage < kStageParts && stages[stage] < request.floor()) ++stage;
  return stage;
}

WideCount stage_gain(const RequestState& request, std::size_t stage) {
  const auto& stages = request.levels().stages;
  return stages[stage].count() - (stage == 0 ? 0 : stages[stage - 1].count());
}

WideCount target_with_missing(const RequestState& request) {
  const WideCount offered = request.target_sum();
  const Bytes rows = request.offered_rows();
  if (rows.is_zero()) {
    const PartsPerMillion target = std::min(std::max(request.opened().quality_target, request.floor()), kExactQuality);
    return static_cast<WideCount>(target.count()) * request.missing_rows().count();
  }
  return offered + offered / rows.count() * request.missing_rows().count();
}

std::optional<Work> target_by_stages(const Board& board, const RequestState& request) {
  std::optional<Work> work = floor_work(board, request, Part::kBase);
  if (!work) return std::nullopt;
  const std::size_t floor = floor_stage(request);
  const WideCount target = target_with_missing(request);
  WideCount reached = request.quality().planned;
  for (std::size_t stage = 0; stage < kStageParts; ++stage) {
    const Part part = kAllParts[stage];
    const PartTotal more = expected(board, request, part);
    const PartTotal needed = sum(request.needed()[part], more);
    if (stage <= floor) {
      reached += stage_gain(request, stage) * needed.rows.count();
      continue;
    }
    if (reached >= target) break;
    const PartTotal open = sum(request.open()[part], more);
    const WideCount gain = stage_gain(request, stage) * open.rows.count();
    add(board, part, share(open, target - reached, std::max<WideCount>(gain, 1)), *work);
    reached += std::min(gain, target - reached);
  }
  if (reached < target) return std::nullopt;
  return work;
}

std::optional<Work> target_by_whole(const Board& board, const RequestState& request, Part part) {
  std::optional<Work> work = floor_work(board, request, part);
  if (!work) return std::nullopt;
  const WideCount quality = request.levels().whole(part).count();
  const WideCount target = target_with_missing(request);
  const PartTotal needed = sum(request.needed()[part], expected(board, request, part));
  const QualitySum& sums = request.quality();
  const WideCount reached = sums.planned - sums.needed_planned + quality * needed.rows.count();
  if (reached >= target) return work;
  const PartTotal rest = difference(request.open()[part], request.needed()[part]);
  const WideCount before = sums.open_planned - sums.needed_planned;
  const WideCount after = quality * rest.rows.count();
  const WideCount gain = after > before ? after - before : 0;
  if (gain < target - reached) return std::nullopt;
  add(board, part, share(rest, target - reached, gain), *work);
  return work;
}

/// When the last unit will have been produced, by the pace of chunks so far; a silence longer than the pace slows it.
Instant produced(const RequestState& request, const Road& road) {
  const auto begun = static_cast<std::int64_t>(request.chunks_begun());
  if (request.missing_units() == 0 || begun == 0) return road.now;
  const auto rest = static_cast<std::int64_t>(request.chunks_expected()) - begun;
  const Duration pace = (request.last_offer() - request.accepted_at()) / begun;
  Duration left = request.last_offer() + pace * rest - road.now;
  if (road.now - request.last_offer() > pace) {
    left = (road.now - request.accepted_at()) / (begun + 1) * std::max<std::int64_t>(rest - 1, 0);
  }
  if (road.is_hopeful) left = left / kHopefulWhole * kHopefulPart;
  return road.now + std::max(left, Duration(0));
}

}  // namespace

std::optional<Work> floor_work(const Board& board, const RequestState& request, Way way) {
  Work work;
  if (way != Part::kBase) {
    if (request.levels().whole(way) < request.floor()) return std::nullopt;
    if (request.needed()[way].count < request.below_floor_planned()) return std::nullopt;
    add(board, way, sum(request.needed()[way], expected(board, request, way)), work);
    return work;
  }
  const std::size_t last = floor_stage(request);
  if (last == kStageParts) return std::nullopt;
  if (request.needed()[kAllParts[last]].count < request.below_floor_planned()) return std::nullopt;
  for (std::size_t stage = 0; stage <= last; ++stage) {
    const Part part = kAllParts[stage];
    add(board, part, sum(request.needed()[part], expected(board, request, part)), work);
  }
  return work;
}

Work all_stages_work(const Board& board, const RequestState& request) {
  Work work;
  for (std::size_t stage = 0; stage < kStageParts; ++stage) {
    const Part part = kAllParts[stage];
    add(board, part, sum(request.needed()[part], expected(board, request, part)), work);
  }
  return work;
}

std::optional<Work> target_work(const Board& board, const RequestState& request, Way way) {
  return way == Part::kBase ? target_by_stages(board, request) : target_by_whole(board, request, way);
}

Bytes floor_bytes(const Board& board, const RequestState& request) {
  if (request.below_floor_planned() == 0 && request.missing_units() == 0) return Bytes(0);
  const auto wire = [&](Part part) { return request.needed()[part].wire + expected(board, request, part).wire; };
  const auto covers = [&](Part part) { return request.needed()[part].count >= request.below_floor_planned(); };
  Bytes smallest = Bytes::max();
  const std::size_t last = floor_stage(request);
  if (last < kStageParts && covers(kAllParts[last])) {
    smallest = Bytes(0);
    for (std::size_t stage = 0; stage <= last; ++stage) smallest += wire(kAllParts[stage]);
  }
  for (const Way way : kWholeParts) {
    if (request.levels().whole(way) >= request.floor() && covers(way)) smallest = std::min(smallest, wire(way));
  }
  return smallest == Bytes::max() ? Bytes(0) : smallest;
}

Instant forecast(const Board& board, const RequestState& request, const Work& work, const Road& road) {
  const DecodeCosts& costs = board.decode();
  const Duration rtt = board.link().rtt();
  const Bytes queued = board.in_flight().unsent(rtt, road.rate, road.now) + road.ahead + work.wire;
  // With something in flight already, the next grant's round trip hides behind it.
  const Instant first = board.in_flight().count() == 0 && !work.wire.is_zero() ? road.now + rtt : road.now;
  const Duration last = time_to_send(work.last_wire, road.rate);
  Instant wire_end = first + time_to_send(queued, road.rate);
  if (!work.wire.is_zero()) wire_end = std::max(wire_end, road.now + rtt + last);
  if (request.opened().mode == Mode::kHandOver) wire_end = std::max(wire_end, produced(request, road) + rtt + last);
  // Decode can begin with what is in flight; without it, with the first of what is to come.
  const bool is_idle = board.in_flight().count() == 0 && !work.wire.is_zero();
  const Instant decode_start = std::max(board.decode_free(), is_idle ? first + last : road.now);
  const Instant decode_end = decode_start + saturated_sum(board.in_flight().work(), work.decode) / costs.workers;
  return std::max(wire_end + work.last_decode, decode_end) + costs.per_request;
}

Instant earliest_floor(const Board& board, const RequestState& request, const Road& road) {
  const Duration rtt = board.link().rtt();
  // Who waits for a peer waits as long again, for all one knows.
  const Duration silence = request.parts_in_flight() > 0 ? Duration(0) : road.now - request.last_sign() - rtt * 2;
  const Instant answered = road.now + std::max(silence, Duration(0));
  // A round trip until units are offered, another until the first is here.
  if (!request.is_accepted()) return std::max(answered, request.opened_at() + rtt) + rtt;
  Instant earliest = Instant::never();
  for (const Way way : kWays) {
    const auto work = floor_work(board, request, way);
    if (work) earliest = std::min(earliest, forecast(board, request, *work, road));
  }
  const bool waits = request.missing_units() > 0 || !request.is_sealed();
  return waits ? std::max(earliest, answered) : earliest;
}

Instant raw_baseline(const Board& board, const RequestState& request, Instant now) {
  const PartTotal& raw = request.offered_totals()[Part::kRaw];
  if (!request.is_all_offered() || raw.count == 0 || raw.rows != request.offered_rows()) return Instant::never();
  const BitsPerSecond rate = board.rate(now);
  const DecodeCosts& costs = board.decode();
  Work work;
  add(board, Part::kRaw, raw, work);
  const Instant first = std::min(now, request.first_grant()) + board.link().rtt();
  const Duration last = time_to_send(work.last_wire, rate);
  const Instant stored = request.last_offer() + board.link().rtt() + last;
  const Instant wire_end = std::max(first + time_to_send(work.wire, rate), stored);
  return std::max(wire_end + work.last_decode, first + last + work.decode / costs.workers) + costs.per_request;
}

}  // namespace sluice::scheduler
