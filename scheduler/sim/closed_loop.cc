#include "scheduler/sim/closed_loop.h"

#include <algorithm>

namespace sluice::scheduler::sim {
namespace {

constexpr std::size_t kMostEvents = 400'000;
/// What stands for "never" in an outcome, so that outcomes can be added and compared.
constexpr Duration kForever{3'600'000'000'000};
constexpr Duration kWarmSample{20'000'000};
constexpr int kWarmSamples = 16;

}  // namespace

PartSizes sizes_of(Bytes raw) {
  PartSizes sizes;
  sizes[Part::kRaw] = raw + Bytes(64);
  sizes[Part::kLossless] = raw * 11 / 16 + Bytes(64);
  sizes[Part::kInt8] = raw * 85 / 160 + Bytes(64);
  sizes[Part::kBase] = raw * 22 / 160 + Bytes(64);
  sizes[Part::kRefinement1] = raw * 11 / 160 + Bytes(64);
  sizes[Part::kRefinement2] = raw * 12 / 160 + Bytes(64);
  return sizes;
}

void ClosedLoop::schedule(Instant at, Event event) {
  queue_.push_back(Timed{at, order_++, std::move(event)});
  std::push_heap(queue_.begin(), queue_.end(), is_later);
}

void ClosedLoop::schedule_job(const Job& job) {
  const Instant opened = start_ + job.opened;
  schedule(opened, RequestOpened{job.request, opened + (job.deadline - job.first_token), job.deadline_kind, job.mode,
                                 job.floor, job.target, Tokens(256 * job.chunks), job.recompute});
  const std::uint32_t units = job.chunks * job.groups;
  const Instant accepted = opened + link_.rtt;
  schedule(accepted, Accepted{job.request, job.chunks, job.groups, job.unit_raw * units});
  const PartSizes sizes = job.sizes == PartSizes{} ? sizes_of(job.unit_raw) : job.sizes;
  Instant prefilled = accepted;
  Instant encoded = accepted;
  for (std::uint32_t unit = 0; unit < units; ++unit) {
    if (unit % job.groups == 0) prefilled = prefilled + job.chunk_prefill;
    encoded = std::max(encoded, prefilled) + job.unit_encode;
    const UnitKey key{job.request, ChunkIndex(unit / job.groups), LayerGroupIndex(unit % job.groups)};
    schedule(encoded, Offered{key, job.unit_raw, sizes});
  }
  schedule(encoded, Sealed{job.request, Units(units)});
}

Outcome& ClosedLoop::outcome(RequestId request) {
  return *std::find_if(outcomes_.begin(), outcomes_.end(),
                       [&](const Outcome& candidate) { return candidate.request == request; });
}

const Job& ClosedLoop::job(RequestId request) const {
  return *std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& candidate) { return candidate.request == request; });
}

void ClosedLoop::send(const Grant& grant, Instant now) {
  schedule(wire_.send(grant.bytes, wire_.ask(now)), PartArrived{grant.unit, grant.part, grant.bytes});
  in_flight_.bytes += grant.bytes;
  ++in_flight_.count;
  outcome(grant.unit.request).wire += grant.bytes;
}

void ClosedLoop::carry_out(const Action& action, Instant now) {
  if (const auto* grant = std::get_if<Grant>(&action)) return send(*grant, now);
  const auto* recompute = std::get_if<Recompute>(&action);
  const auto* complete = std::get_if<Complete>(&action);
  Outcome& ended = outcome(recompute ? recompute->request : complete->request);
  const Job& stated = job(ended.request);
  ended.has_ended = true;
  ended.is_recomputed = recompute != nullptr;
  ended.reason = recompute ? recompute->reason : complete->reason;
  ended.quality = complete ? complete->quality : kExactQuality;
  const Duration computed = stated.recompute_really.count() > 0 ? stated.recompute_really : stated.recompute;
  const Duration tail =
      complete ? std::max(decode_free_, now) - now + decode_.per_request : std::min(computed, kForever);
  ended.ttft = now - (start_ + stated.opened) + tail + stated.first_token;
}

void ClosedLoop::decode(const PartArrived& arrived, Instant now) {
  const Bytes rows = job(arrived.unit.request).unit_raw;
  const Duration work = decode_time(decode_, arrived.part, rows) / decode_.workers;
  decode_free_ = std::max(decode_free_, now) + work;
  ++decodes_waiting_;
  schedule(decode_free_, DecodeSample{arrived.part, rows, work, 0});
}

void ClosedLoop::deliver(Policy& policy, const Event& event, Instant now) {
  Event told = event;
  if (const auto* arrived = std::get_if<PartArrived>(&event)) {
    in_flight_.bytes -= arrived->bytes;
    --in_flight_.count;
    if (!outcome(arrived->unit.request).has_ended) decode(*arrived, now);
  }
  if (auto* decoded = std::get_if<DecodeSample>(&told)) decoded->waiting = --decodes_waiting_;
  actions_.clear();
  policy.on(told, now, actions_);
  trace_.events.emplace_back(now, told);
  for (const Action& action : actions_) {
    trace_.actions.emplace_back(now, action);
    carry_out(action, now);
  }
  trace_.most_in_flight = std::max(trace_.most_in_flight, in_flight_.bytes);
  trace_.most_grants_in_flight = std::max(trace_.most_grants_in_flight, in_flight_.count);
}

void ClosedLoop::warm_up(Instant now) {
  const BitsPerSecond rate = link_.rate_at(now);
  schedule(now, RttSample{link_.rtt});
  for (int i = 0; i < kWarmSamples; ++i) schedule(now, LinkSample{sent_within(kWarmSample, rate), kWarmSample});
}

std::vector<Outcome> ClosedLoop::run(Policy& policy, const std::vector<Job>& jobs, bool is_warm) {
  jobs_ = jobs;
  for (const Job& job : jobs) outcomes_.push_back(Outcome{.request = job.request});
  Instant now(Duration(1'000'000'000));
  start_ = now;
  if (is_warm) warm_up(now);
  for (const Job& job : jobs) schedule_job(job);
  for (std::size_t count = 0; count < kMostEvents; ++count) {
    const bool is_over = std::all_of(outcomes_.begin(), outcomes_.end(), [](const Outcome& o) { return o.has_ended; });
    const Instant wake = policy.wake_at();
    if (is_over || (queue_.empty() && wake == Instant::never())) break;
    if (queue_.empty() || wake < queue_.front().at) {
      now = std::max(now, wake);
      deliver(policy, Tick{}, now);
      continue;
    }
    std::pop_heap(queue_.begin(), queue_.end(), is_later);
    const Timed next = std::move(queue_.back());
    queue_.pop_back();
    now = std::max(now, next.at);
    deliver(policy, next.event, now);
  }
  trace_.link_busy = wire_.busy();
  return outcomes_;
}

}  // namespace sluice::scheduler::sim
