#include "tests/unit/scheduler/fluid_link.h"

namespace sluice::scheduler::testing_support {

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

void FluidLink::schedule_job(const Job& job, Instant start) {
  const Instant opened = start + job.opened;
  schedule(opened, RequestOpened{job.request, start + job.deadline, job.deadline_kind, job.mode, job.floor, job.target,
                                 Tokens(256 * job.chunks), job.recompute});
  const std::uint32_t units = job.chunks * job.groups;
  schedule(opened + link_.rtt, Accepted{job.request, job.chunks, job.groups, job.unit_raw * units});
  Instant produced = opened + link_.rtt;
  for (std::uint32_t unit = 0; unit < units; ++unit) {
    produced = produced + job.pace;
    const UnitKey key{job.request, ChunkIndex(unit / job.groups), LayerGroupIndex(unit % job.groups)};
    schedule(produced, Offered{key, job.unit_raw, sizes_of(job.unit_raw)});
  }
  schedule(produced, Sealed{job.request, Units(units)});
}

Outcome& FluidLink::outcome(RequestId request) {
  return *std::find_if(outcomes_.begin(), outcomes_.end(),
                       [&](const Outcome& candidate) { return candidate.request == request; });
}

const Job& FluidLink::job(RequestId request) const {
  return *std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& candidate) { return candidate.request == request; });
}

void FluidLink::carry_out(const Action& action, Instant now) {
  if (const auto* grant = std::get_if<Grant>(&action)) {
    const Instant asked = now + link_.rtt / 2;
    link_free_ = link_.sent(grant->bytes, std::max(link_free_, asked));
    schedule(link_free_ + link_.rtt / 2, PartArrived{grant->unit, grant->part, grant->bytes});
    in_flight_.bytes += grant->bytes;
    ++in_flight_.count;
    outcome(grant->unit.request).wire += grant->bytes;
    return;
  }
  const auto* recompute = std::get_if<Recompute>(&action);
  const auto* complete = std::get_if<Complete>(&action);
  Outcome& ended = outcome(recompute ? recompute->request : complete->request);
  ended.has_ended = true;
  ended.is_recomputed = recompute != nullptr;
  ended.reason = recompute ? recompute->reason : complete->reason;
  ended.quality = complete ? complete->quality : kExactQuality;
  const Instant opened = start_ + job(ended.request).opened;
  const Duration tail = complete ? std::max(decode_free_, now) - now + options_.decode.per_request
                                 : std::min(job(ended.request).recompute, Duration(3'600'000'000'000));
  ended.ttft = now - opened + tail;
}

void FluidLink::deliver(Policy& policy, const Event& event, Instant now) {
  if (const auto* arrived = std::get_if<PartArrived>(&event)) {
    in_flight_.bytes -= arrived->bytes;
    --in_flight_.count;
    if (!outcome(arrived->unit.request).has_ended) {
      const Duration work = decode_time(options_.decode, arrived->part, job(arrived->unit.request).unit_raw);
      decode_free_ = std::max(decode_free_, now) + work / options_.decode.workers;
    }
  }
  actions_.clear();
  policy.on(event, now, actions_);
  trace_.events.emplace_back(now, event);
  for (const Action& action : actions_) {
    trace_.actions.emplace_back(now, action);
    carry_out(action, now);
  }
  trace_.most_in_flight = std::max(trace_.most_in_flight, in_flight_.bytes);
  trace_.most_grants_in_flight = std::max(trace_.most_grants_in_flight, in_flight_.count);
}

std::vector<Outcome> FluidLink::run(Policy& policy, const std::vector<Job>& jobs, bool is_warm) {
  jobs_ = jobs;
  for (const Job& job : jobs) outcomes_.push_back(Outcome{.request = job.request});
  Instant now(Duration(1'000'000'000));
  schedule(now, RttSample{link_.rtt});
  if (is_warm) {
    const BitsPerSecond rate = link_.rate_at(now);
    for (int i = 0; i < 8; ++i)
      schedule(now, LinkSample{sent_within(Duration(20'000'000), rate), Duration(20'000'000)});
  }
  start_ = now;
  for (const Job& job : jobs) schedule_job(job, start_);
  constexpr std::size_t kMostEvents = 200'000;
  const auto is_later = [](const Timed& left, const Timed& right) {
    return left.at != right.at ? left.at > right.at : left.order > right.order;
  };
  std::make_heap(queue_.begin(), queue_.end(), is_later);
  for (std::size_t count = 0; count < kMostEvents; ++count) {
    const bool is_over = std::all_of(outcomes_.begin(), outcomes_.end(), [](const Outcome& o) { return o.has_ended; });
    const Instant wake = policy.wake_at();
    if (is_over || (queue_.empty() && wake == Instant::never())) break;
    if (queue_.empty() || wake < queue_.front().at) {
      now = std::max(now, wake);
      deliver(policy, Tick{}, now);
    } else {
      std::pop_heap(queue_.begin(), queue_.end(), is_later);
      const Timed next = queue_.back();
      queue_.pop_back();
      now = std::max(now, next.at);
      deliver(policy, next.event, now);
    }
    std::make_heap(queue_.begin(), queue_.end(), is_later);
  }
  return outcomes_;
}

}  // namespace sluice::scheduler::testing_support
