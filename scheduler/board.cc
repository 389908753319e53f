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

bool is_before(const RequestState& left, const RequestState& right) {
  if (left.opened().deadline != right.opened().deadline) return left.opened().deadline < right.opened().deadline;
  return left.id() < right.id();
}

}  // namespace

Board::Board(const PolicyOptions& options)
    : options_(options),
      link_(LinkEstimator::Options{options.nominal_rate, options.nominal_rtt}),
      decode_(options.decode),
      opening_window_(options.smallest_window + options.smallest_window / 2) {}

void Board::apply(const Event& event, Instant now, Actions& out) {
  SLUICE_ASSERT(now >= now_);
  now_ = now;
  if (const auto* opened = std::get_if<RequestOpened>(&event)) return open(*opened, now);
  if (const auto* accepted = std::get_if<Accepted>(&event)) return accept(*accepted, now, out);
  if (const auto* offered = std::get_if<Offered>(&event)) return offer(*offered, now);
  if (const auto* arrived = std::get_if<PartArrived>(&event)) return arrive(*arrived, now);
  if (const auto* failed = std::get_if<PartFailed>(&event)) return fail(*failed, now);
  if (const auto* sample = std::get_if<LinkSample>(&event)) {
    return link_.on_delivery(sample->bytes, sample->duration, now);
  }
  if (const auto* sample = std::get_if<RttSample>(&event)) return link_.on_rtt(sample->rtt, now);
  if (const auto* sample = std::get_if<DecodeSample>(&event)) return learn(*sample, now);
  if (const auto* closed = std::get_if<RequestClosed>(&event)) return remove(closed->request);
  if (const auto* sealed = std::get_if<Sealed>(&event)) {
    if (RequestState* request = find(sealed->request)) request->seal(sealed->units);
  }
}

RequestState* Board::find(RequestId request) {
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&](const RequestState& candidate) { return candidate.id() == request; });
  return found == requests_.end() ? nullptr : &*found;
}

void Board::remove(RequestId request) {
  in_flight_.drop(request);
  std::erase_if(requests_, [&](const RequestState& candidate) { return candidate.id() == request; });
}

void Board::open(const RequestOpened& opened, Instant now) {
  if (find(opened.request) != nullptr) return;
  RequestState request(opened, now, Levels(opened.quality.value_or(options_.quality)));
  const auto place = std::upper_bound(requests_.begin(), requests_.end(), request, is_before);
  requests_.insert(place, std::move(request));
}

void Board::accept(const Accepted& accepted, Instant now, Actions& out) {
  RequestState* request = find(accepted.request);
  if (request == nullptr) return;
  if (std::uint64_t{accepted.chunks} * accepted.groups > kMostUnits) {
    return recompute(*request, Reason::kTooManyUnits, inputs(*request, now), out);
  }
  request->accept(accepted, now);
  // The answer took a round trip, and the peer's own time: too long is corrected by any shorter one.
  if (!link_.has_rtt()) link_.on_rtt(now - request->opened_at(), now);
}

void Board::offer(const Offered& offered, Instant now) {
  RequestState* request = find(offered.unit.request);
  if (request == nullptr || !request->offer(offered, now)) return;
  for (const Part part : kAllParts) {
    const Bytes size = offered.sizes[part];
    PartTotal& seen = seen_[part];
    if (size.is_zero() || size > offered.raw * 4) continue;
    if (seen.rows > kSeenRows) seen = PartTotal{seen.wire / 2, seen.rows / 2, seen.count / 2};
    seen.wire += size;
    seen.rows += offered.raw;
    ++seen.count;
  }
}

void Board::arrive(const PartArrived& arrived, Instant now) {
  if (part_place(arrived.part) == kAllParts.size()) return;
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
  RequestState* request = find(arrived.unit.request);
  if (request == nullptr) return;
  const auto index = request->index_of(arrived.unit);
  if (!index || !request->arrive(*index, arrived.part, now)) return;
  const Bytes rows = request->units()[*index].raw;
  const Duration work = decode_time(decode_, arrived.part, rows);
  undecoded_[arrived.part] += std::min(rows, kSeenRows);
  decode_free_ = std::max(decode_free_, now) + work / decode_.workers;
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

void Board::fail(const PartFailed& failed, Instant now) {
  if (part_place(failed.part) == kAllParts.size()) return;
  in_flight_.fail(failed.unit, failed.part, now);
  RequestState* request = find(failed.unit.request);
  if (request == nullptr) return;
  if (const auto index = request->index_of(failed.unit)) {
    request->fail(*index, failed.part, options_.attempts_per_part);
  }
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
  for (const RequestState& request : requests_) {
    if (request.opened().deadline_kind == DeadlineKind::kHard) earliest = std::min(earliest, last_call(request));
  }
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

void Board::recompute(const RequestState& request, Reason reason, Inputs inputs, Actions& out) {
  const RequestId id = request.id();
  out.push_back(Recompute{id, reason, inputs});
  remove(id);
}

void Board::complete(const RequestState& request, Reason reason, Inputs inputs, Actions& out) {
  const RequestId id = request.id();
  out.push_back(Complete{id, request.mean_arrived(), reason, inputs});
  remove(id);
}

}  // namespace sluice::scheduler
