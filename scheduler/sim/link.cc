#include "scheduler/sim/link.h"

#include <algorithm>

namespace sluice::scheduler::sim {

std::size_t Link::phase_at(Instant now) const {
  const auto after = std::upper_bound(phases.begin() + 1, phases.end(), now,
                                      [](Instant at, const Phase& phase) { return at < Instant(phase.since); });
  return static_cast<std::size_t>(after - phases.begin()) - 1;
}

BitsPerSecond Link::rate_at(Instant now) const { return phases[phase_at(now)].rate; }

Instant Link::sent(Bytes bytes, Instant start) const {
  Instant at = start;
  for (std::size_t i = phase_at(start); i < phases.size(); ++i) {
    const Instant end = i + 1 < phases.size() ? Instant(phases[i + 1].since) : Instant::never();
    if (end <= at) continue;
    const Duration needed = time_to_send(bytes, phases[i].rate);
    if (at + needed <= end) return at + needed;
    bytes -= std::min(bytes, sent_within(end - at, phases[i].rate));
    at = end;
  }
  return at;
}

Duration LinkRun::late() {
  if (link_.jitter.count() <= 0) return Duration(0);
  return Duration(static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(link_.jitter.count()) + 1)));
}

Instant LinkRun::ask(Instant now) {
  last_ask_ = std::max(last_ask_, now + link_.rtt / 2 + late());
  return last_ask_;
}

Instant LinkRun::send(Bytes bytes, Instant asked) {
  const Duration depth = time_to_send(link_.burst, link_.rate_at(asked));
  const Instant earliest(std::max(asked.since_start() - depth, Duration(0)));
  const Instant begun = std::max(owed_until_, earliest);
  owed_until_ = link_.sent(bytes, begun);
  busy_time_ += owed_until_ - begun;
  first_byte_ = std::min(first_byte_, std::max(asked, last_sent_));
  last_sent_ = std::max({last_sent_, asked, owed_until_});
  last_arrival_ = std::max(last_arrival_, last_sent_ + link_.rtt / 2 + late());
  return last_arrival_;
}

PartsPerMillion LinkRun::busy() const {
  if (first_byte_ == Instant::never() || last_sent_ <= first_byte_) return PartsPerMillion(1'000'000);
  const auto used = static_cast<WideCount>(busy_time_.count()) * 1'000'000U;
  const auto ppm = used / static_cast<std::uint64_t>((last_sent_ - first_byte_).count());
  return PartsPerMillion(static_cast<std::uint64_t>(std::min<WideCount>(ppm, 1'000'000U)));
}

}  // namespace sluice::scheduler::sim
