#include "scheduler/board.h"

#include <algorithm>

namespace sluice::scheduler {
namespace {

/// Forgets half when so many rows were seen, so that sizes follow a change of model or profile.
constexpr Bytes kSeenRows{std::uint64_t{1} << 32};
/// Grants that may always be under way, so that the link never waits for the next one.
constexpr std::size_t kSmallestGrants = 2;
/// Quantiles of the link's rate that stand for it in ordinary estimates, and before a delivery is given up.
constexpr PartsPerMillion kMedian{500'000};
constexpr PartsPerMillion kUpperQuartile{750'000};
constexpr PartsPerMillion kLowerTenth{100'000};
constexpr BitsPerSecond kFastestLink{std::uint64_t{1} << 42};
/// More decode work than this is not told apart, so that sums stay small.
constexpr Duration kMostWork{3'600'000'000'000};
/// Lateness below it is a matter of timers and of a round trip that was not measured yet, not of the link's rate.
constexpr Duration kOverdueGrace{20'000'000};
constexpr Bytes kLargestOpening{std::uint64_t{64} << 20};
/// A decode's measured rate counts for one part in so many of what is believed.
constexpr std::uint64_t kDecodeMemory = 4;
/// Bits of rows a second; keeps products inside 128 bits.
constexpr std::uint64_t kFastestDecode = std::uint64_t{1} << 50;

}  // namespace

Board::Board(const PolicyOptions& options)
    : options_(options),
      link_(LinkEstimator::Options{options.nominal_rate, options.nominal_rtt}),
      decode_(options.decode),
      opening_window_(options.smallest_window + options.smallest_window / 2) {}

Listed* Board::apply(const Event& event, Instant now, Actions& out) {
  SLUICE_ASSERT(now >= now_);
  now_ = now;
  if (const auto* opened = std::get_if<RequestOpened>(&event)) return open(*opened, now);
  if (const auto* accepted = std::get_if<Accepted>(&event)) return accept(*accepted, now, out);
  if (const auto* offered = std::get_if<Offered>(&event)) return offer(*offered, now);
  if (const auto* arrived = std::get_if<PartArrived>(&event)) return arrive(*arrived, now);
  if (const auto* failed = std::get_if<PartFailed>(&event)) return fail(*failed, now);
  if (const auto* done = std::get_if<ChunkComputed>(&event)) return computed(*done, now);
  if (const auto* sealed = std::get_if<Sealed>(&event)) {
    Listed* request = requests_.find(sealed->request);
    if (request != nullptr) request->state.seal(sealed->units);
    return request;
  }
  if (const auto* sample = std::get_if<LinkSample>(&event)) link_.on_delivery(sample->bytes, sample->duration, now);
  if (const auto* sample = std::get_if<RttSample>(&event)) link_.on_rtt(sample->rtt, now);
  if (const auto* sample = std::get_if<DecodeSample>(&event)) learn(*sample, now);
  if (const auto* closed = std::get_if<RequestClosed>(&event)) remove(closed->request);
  return nullptr;
}

void Board::remove(RequestId request) {
  in_flight_.drop(request);
  if (Listed* open = requests_.find(request)) requests_.remove(*open);
}

Listed* Board::open(const RequestOpened& opened, Instant now) {
  if (requests_.find(opened.request) != nullptr) return nullptr;
  return &requests_.add(opened, now, Levels(opened.quality.value_or(options_.quality)));
}

Listed* Board::accept(const Accepted& accepted, Instant now, Actions& out) {
  Listed* request = requests_.find(accepted.request);
  if (request == nullptr) return nullptr;
  if (std::uint64_t{accepted.chunks} * accepted.groups > kMostUnits) {
    recompute(request->state, {Reason::kTooManyUnits, inputs(request->state, now)}, out);
    return nullptr;
  }
  request->state.accept(accepted, now);
  // The answer took a round trip, and the peer's own time: too long is corrected by any shorter one.
  if (!link_.has_rtt()) link_.on_rtt(now - request->state.opened_at(), now);
  return request;
}

Listed* Board::offer(const Offered& offered, Instant now) {
  Listed* request = requests_.find(offered.unit.request);
  if (request == nullptr || !request->state.offer(offered, now)) return request;
  for (const Part part : kAllParts) {
    const Bytes size = offered.sizes[part];
    PartTotal& seen = seen_[part];
    if (size.is_zero() || size > offered.raw * 4) continue;
    if (seen.rows > kSeenRows) seen = PartTotal{seen.wire / 2, seen.rows / 2, seen.count / 2};
    seen.wire += size;
    seen.rows += offered.raw;
    ++seen.count;
  }
  return request;
}

Listed* Board::arrive(const PartArrived& arrived, Instant now) {
  if (part_place(arrived.part) == kAllParts.size()) return nullptr;
  if (const auto delivery = in_flight_.arrive(arrived.unit, arrived.part, link_.rtt(), now)) {
    if (delivery->is_backlogged) {
      link_.on_delivery(delivery->bytes, delivery->span, now);
    } else {
      // The link had run dry: more must be in flight. Once a round trip, as only its first part finds it idle; the very
      // first part of all finds every link so.
      if (link_.has_seen_any() && !knows_link()) opening_window_ = std::min(opening_window_ * 2, kLargestOpening);
      link_.on_idle_delivery(delivery->bytes, delivery->span, now);
    }
  }
  Listed* request = requests_.find(arrived.unit.request);
  if (request == nullptr) return nullptr;
  const auto index = request->state.index_of(arrived.unit);
  if (!index || !request->state.arrive(*index, arrived.part, now)) return request;
  const Bytes rows = request->state.units()[*index].raw;
  const Duration work = decode_time(decode_, arrived.part, rows);
  undecoded_[arrived.part] += std::min(rows, kSeenRows);
  decode_free_ = std::max(decode_free_, now) + work / decode_.workers;
  return request;
}

Listed* Board::computed(const ChunkComputed& computed, Instant now) {
  if (computing_ == computed.request) computing_.reset();
  Listed* request = requests_.find(computed.request);
  if (request != nullptr && computed.chunk.value() < request->state.chunks()) {
    request->state.compute(computed.chunk.value() + 1, now);
  }
  return request;
}

void Board::learn(const DecodeSample& sample, Instant now) {
  if (part_place(sample.part) == kAllParts.size()) return;
  const BitsPerSecond seen = rate_of(sample.rows, std::max(sample.spent - decode_.per_part, Duration(1)));
  const WideCount before = decode_.rate[sample.part].count();
  const WideCount after = std::max<WideCount>(1, (before * (kDecodeMemory - 1) + seen.count()) / kDecodeMemory);
  is_decode_seen_[sample.part] = true;
  for (const Part part : kAllParts) {
    // A machine that is slower than it was is so for the parts that were not seen yet, too.
    if (part != sample.part && is_decode_seen_[part]) continue;
    const WideCount scaled = decode_.rate[part].count() * after / before;
    decode_.rate[part] =
        BitsPerSecond(std::clamp<std::uint64_t>(static_cast<std::uint64_t>(scaled), 1, kFastestDecode));
  }
  Bytes& done = undecoded_[sample.part];
  done -= std::min(done, sample.rows);
  if (sample.waiting == 0) undecoded_ = {};
  // Also takes back what was believed of the waiting ones before the rate was measured.
  Duration waiting{0};
  for (const Part part : kAllParts) waiting += std::min(time_to_send(undecoded_[part], decode_.rate[part]), kMostWork);
  waiting += decode_.per_part * static_cast<std::int64_t>(std::min<std::uint32_t>(sample.waiting, 65'536));
  decode_free_ = now + waiting / decode_.workers;
}

Listed* Board::fail(const PartFailed& failed, Instant now) {
  if (part_place(failed.part) == kAllParts.size()) return nullptr;
  in_flight_.fail(failed.unit, failed.part, now);
  Listed* request = requests_.find(failed.unit.request);
  if (request == nullptr) return nullptr;
  if (const auto index = request->state.index_of(failed.unit)) {
    request->state.fail(*index, failed.part, options_.attempts_per_part);
  }
  return request;
}

BitsPerSecond Board::unless_overdue(BitsPerSecond estimate, Instant now) const {
  const Instant owed = in_flight_.owed_since(link_.rtt());
  if (owed >= now) return estimate;
  const Duration waited = now - owed;
  const Duration grace = std::max(link_.rtt(), kOverdueGrace) + time_to_send(in_flight_.bytes() * 2, estimate);
  if (waited <= grace) return estimate;
  // Were the link any faster than that, everything in flight would be here.
  return std::max(BitsPerSecond(1), std::min(estimate, rate_of(in_flight_.bytes(), waited)));
}

BitsPerSecond Board::rate(Instant now) const { return unless_overdue(link_.rate(kMedian, now), now); }

BitsPerSecond Board::cautious_rate(Instant now) const { return unless_overdue(link_.rate(kLowerTenth, now), now); }

BitsPerSecond Board::hopeful_rate(Instant now) const {
  const bool is_measured = link_.has_measured() || options_.nominal_is_trusted;
  const bool is_told = options_.nominal_is_trusted && !link_.has_measured();
  const std::uint64_t doubt = is_told ? 1 : link_.doubt(now);
  const BitsPerSecond likely = is_measured ? link_.rate(kUpperQuartile, now) : kFastestLink;
  return unless_overdue(std::min(likely, kFastestLink) * doubt, now);
}

Instant Board::last_call(const RequestState& request) const {
  const Instant deadline = request.opened().deadline;
  if (deadline == Instant::never()) return deadline;
  return Instant(deadline.since_start() - options_.deadline_guard - decode_.per_request);
}

Instant Board::earliest_last_call() const {
  Instant earliest = Instant::never();
  requests_.walk([&](const Listed& request) {
    if (request.state.opened().deadline_kind != DeadlineKind::kHard) return true;
    earliest = last_call(request.state);
    return false;
  });
  return earliest;
}

bool Board::has_room(Instant now) const {
  if (in_flight_.count() < kSmallestGrants) return true;
  if (!knows_link()) return in_flight_.bytes() < opening_window_;
  const Bytes product = sent_within(link_.rtt(), rate(now));
  const Bytes window = std::min(product, Bytes(std::uint64_t{1} << 40)) * options_.window_bdp;
  return in_flight_.bytes() < std::max(window, options_.smallest_window);
}

Inputs Board::inputs(const RequestState& request, Instant now) const {
  Inputs inputs;
  const Instant deadline = request.opened().deadline;
  inputs.slack = deadline == Instant::never() ? Duration::max() : deadline - now;
  inputs.rate = rate(now);
  inputs.in_flight = in_flight_.bytes();
  inputs.recompute = request.opened().recompute;
  return inputs;
}

void Board::grant(RequestState& request, const Pick& pick, Actions& out) {
  const auto [index, part, reason, given] = pick;
  Inputs inputs = given;
  const UnitState& unit = request.units()[index];
  const bool is_retry = unit.attempts[part] > 0;
  const Bytes size = unit.sizes[part];
  inputs.in_flight = in_flight_.bytes();
  request.grant(index, part, now_);
  const Duration work = std::min(decode_time(decode_, part, unit.raw), kMostWork);
  in_flight_.grant(InFlight::Entry{request.key(index), part, size, work, now_});
  out.push_back(Grant{request.key(index), part, size, is_retry ? Reason::kRetry : reason, inputs});
}

void Board::compute(RequestState& request, Inputs inputs, Actions& out) {
  SLUICE_ASSERT(!computing_);
  computing_ = request.id();
  computing_since_ = now_;
  out.push_back(ComputeChunk{request.id(), ChunkIndex(request.computed_chunks()), Reason::kTwoEnded, inputs});
}

void Board::recompute(const RequestState& request, const Ending& ending, Actions& out, std::uint32_t kept_chunks) {
  const RequestId id = request.id();
  compute_free_ = std::max(compute_free_, now_) + request.opened().recompute;
  out.push_back(Recompute{id, ending.reason, ending.inputs, std::max(kept_chunks, request.computed_chunks())});
  remove(id);
}

void Board::complete(const RequestState& request, const Ending& ending, Actions& out) {
  const RequestId id = request.id();
  out.push_back(Complete{id, request.mean_arrived(), ending.reason, ending.inputs});
  remove(id);
}

}  // namespace sluice::scheduler
