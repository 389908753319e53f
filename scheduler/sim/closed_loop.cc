#include "scheduler/sim/closed_loop.h"

#include <algorithm>

#include "base/assert.h"

namespace sluice::scheduler::sim {
namespace {

constexpr std::size_t kMostEvents = 400'000;
constexpr std::size_t kMostEventsPerUnit = 100;
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
  if (free_events_.empty()) {
    free_events_.push_back(static_cast<std::uint32_t>(events_.size()));
    events_.emplace_back();
  }
  const std::uint32_t slot = free_events_.back();
  free_events_.pop_back();
  events_[slot] = std::move(event);
  queue_.push_back(Timed{at, order_++, slot});
  std::push_heap(queue_.begin(), queue_.end(), is_later);
}

Event ClosedLoop::take() {
  std::pop_heap(queue_.begin(), queue_.end(), is_later);
  const std::uint32_t slot = queue_.back().slot;
  queue_.pop_back();
  free_events_.push_back(slot);
  return std::move(events_[slot]);
}

void ClosedLoop::schedule_job(const Job& job) {
  const Instant opened = start_ + job.opened;
  RequestOpened asked{job.request,
                      opened + (job.deadline - job.first_token),
                      job.deadline_kind,
                      job.mode,
                      job.floor,
                      job.target,
                      Tokens(std::uint64_t{job.chunk_tokens} * job.chunks),
                      job.recompute};
  asked.prefill = job.prefill;
  schedule(opened, asked);
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

void ClosedLoop::send(const Grant& grant, Instant now) {
  schedule(wire_.send(grant.bytes, wire_.ask(now)), PartArrived{grant.unit, grant.part, grant.bytes});
  in_flight_.bytes += grant.bytes;
  ++in_flight_.count;
  outcome(grant.unit.request).wire += grant.bytes;
}

void ClosedLoop::compute(const ComputeChunk& compute, Instant now) {
  const Job& stated = job(compute.request);
  const std::uint64_t first = std::uint64_t{compute.chunk.value()} * stated.chunk_tokens;
  const Duration work =
      prefill_time(*stated.prefill, Tokens(first + stated.chunk_tokens)) - prefill_time(*stated.prefill, Tokens(first));
  outcome(compute.request).computed += work;
  schedule(now + work, ChunkComputed{compute.request, compute.chunk});
}

void ClosedLoop::carry_out(const Action& action, Instant now) {
  if (const auto* grant = std::get_if<Grant>(&action)) return send(*grant, now);
  if (const auto* chunk = std::get_if<ComputeChunk>(&action)) return compute(*chunk, now);
  if (const auto* promise = std::get_if<Promise>(&action)) {
    outcome(promise->request).is_promised = promise->is_made;
    return;
  }
  end(action, now);
}

void ClosedLoop::end(const Action& action, Instant now) {
  const auto* recompute = std::get_if<Recompute>(&action);
  const auto* complete = std::get_if<Complete>(&action);
  SLUICE_ASSERT(recompute != nullptr || complete != nullptr);
  Outcome& ended = outcome(recompute ? recompute->request : complete->request);
  const Job& stated = job(ended.request);
  ended.has_ended = true;
  ++ended_;
  ended.is_recomputed = recompute != nullptr;
  ended.reason = recompute ? recompute->reason : complete->reason;
  ended.quality = complete ? complete->quality : kExactQuality;
  Duration tail = std::max(decode_free_, now) - now + decode_.per_request;
  if (recompute != nullptr) {
    tail = std::min(stated.recompute_really.count() > 0 ? stated.recompute_really : stated.recompute, kForever);
    if (stated.prefill) {
      const Tokens kept(std::uint64_t{recompute->kept_chunks} * stated.chunk_tokens);
      tail -= std::min(tail, prefill_time(*stated.prefill, kept));
    }
    ended.computed += tail;
  }
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
  if (keeps_trace_) trace_.events.emplace_back(now, told);
  for (const Action& action : actions_) {
    if (keeps_trace_) trace_.actions.emplace_back(now, action);
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
  std::size_t most_events = kMostEvents;
  for (const Job& job : jobs) {
    places_[job.request] = outcomes_.size();
    outcomes_.push_back(Outcome{.request = job.request});
    most_events += std::size_t{job.chunks} * job.groups * kMostEventsPerUnit;
  }
  Instant now(Duration(1'000'000'000));
  start_ = now;
  if (is_warm) warm_up(now);
  for (const Job& job : jobs) schedule_job(job);
  for (const Link::Phase& phase : link_.phases) {
    if (tells_rate_) schedule(Instant(phase.since), LinkSample{sent_within(kWarmSample, phase.rate), kWarmSample});
  }
  for (std::size_t count = 0; count < most_events; ++count) {
    const Instant wake = policy.wake_at();
    if (ended_ == outcomes_.size() || (queue_.empty() && wake == Instant::never())) break;
    if (queue_.empty() || wake < queue_.front().at) {
      now = std::max(now, wake);
      deliver(policy, Tick{}, now);
      continue;
    }
    now = std::max(now, queue_.front().at);
    deliver(policy, take(), now);
  }
  trace_.link_busy = wire_.busy();
  return outcomes_;
}

}  // namespace sluice::scheduler::sim
