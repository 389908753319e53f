#include "scheduler/in_flight.h"

#include <algorithm>

namespace sluice::scheduler {

std::vector<InFlight::Entry>::iterator InFlight::find(UnitKey unit, Part part) {
  return std::find_if(parts_.begin(), parts_.end(),
                      [&](const Entry& entry) { return entry.unit == unit && entry.part == part; });
}

void InFlight::grant(const Entry& entry) {
  parts_.push_back(entry);
  bytes_ += entry.bytes;
  work_ += entry.work;
}

void InFlight::forget(const Entry& entry) {
  bytes_ -= entry.bytes;
  work_ -= entry.work;
}

std::optional<Delivery> InFlight::arrive(UnitKey unit, Part part, Duration rtt, Instant now) {
  const auto entry = find(unit, part);
  if (entry == parts_.end()) return std::nullopt;
  const Instant earliest = entry->granted + rtt;
  const Delivery delivery{entry->bytes, now - std::max(earliest, last_arrival_), earliest <= last_arrival_};
  forget(*entry);
  parts_.erase(entry);
  last_arrival_ = now;
  if (delivery.span.count() < 0) return std::nullopt;
  return delivery;
}

void InFlight::fail(UnitKey unit, Part part, Instant now) {
  const auto entry = find(unit, part);
  if (entry == parts_.end()) return;
  forget(*entry);
  parts_.erase(entry);
  // Whatever came of it used the link until now; the next span must not count that time as its own.
  last_arrival_ = now;
}

void InFlight::drop(RequestId request) {
  std::erase_if(parts_, [&](const Entry& entry) {
    if (entry.unit.request != request) return false;
    forget(entry);
    return true;
  });
}

Duration InFlight::longest_work(RequestId request) const {
  Duration longest{0};
  for (const Entry& entry : parts_) {
    if (entry.unit.request == request) longest = std::max(longest, entry.work);
  }
  return longest;
}

Bytes InFlight::unsent(Duration rtt, BitsPerSecond rate, Instant now) const {
  if (parts_.empty()) return Bytes(0);
  const Instant begun = std::max(parts_.front().granted + rtt, last_arrival_);
  return bytes_ - std::min(parts_.front().bytes, sent_within(now - begun, rate));
}

Instant InFlight::owed_since(Duration rtt) const {
  Instant earliest = Instant::never();
  for (const Entry& entry : parts_) earliest = std::min(earliest, entry.granted + rtt);
  return earliest == Instant::never() ? earliest : std::max(earliest, last_arrival_);
}

}  // namespace sluice::scheduler
