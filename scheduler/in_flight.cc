#include "scheduler/in_flight.h"

#include <algorithm>

namespace sluice::scheduler {

std::vector<InFlight::Entry>::iterator InFlight::find(UnitKey unit, Part part) {
  return std::find_if(parts_.begin() + static_cast<std::ptrdiff_t>(first_), parts_.end(),
                      [&](const Entry& entry) { return entry.unit == unit && entry.part == part; });
}

void InFlight::grant(const Entry& entry) {
  parts_.push_back(entry);
  bytes_ += entry.bytes;
  work_ += entry.work;
}

void InFlight::take_out(std::vector<Entry>::iterator entry) {
  bytes_ -= entry->bytes;
  work_ -= entry->work;
  if (entry != begin()) {
    parts_.erase(entry);
  } else if (++first_ * 2 > parts_.size()) {
    parts_.erase(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

std::optional<Delivery> InFlight::arrive(UnitKey unit, Part part, Duration rtt, Instant now) {
  const auto entry = find(unit, part);
  if (entry == parts_.end()) return std::nullopt;
  const Instant earliest = entry->granted + rtt;
  const Delivery delivery{entry->bytes, now - std::max(earliest, last_arrival_), earliest <= last_arrival_};
  take_out(entry);
  last_arrival_ = now;
  if (delivery.span.count() < 0) return std::nullopt;
  return delivery;
}

void InFlight::fail(UnitKey unit, Part part, Instant now) {
  const auto entry = find(unit, part);
  if (entry == parts_.end()) return;
  take_out(entry);
  // Whatever came of it used the link until now; the next span must not count that time as its own.
  last_arrival_ = now;
}

void InFlight::drop(RequestId request) {
  parts_.erase(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(first_));
  first_ = 0;
  std::erase_if(parts_, [&](const Entry& entry) {
    if (entry.unit.request != request) return false;
    bytes_ -= entry.bytes;
    work_ -= entry.work;
    return true;
  });
}

Duration InFlight::longest_work(RequestId request) const {
  Duration longest{0};
  for (auto entry = begin(); entry != parts_.end(); ++entry) {
    if (entry->unit.request == request) longest = std::max(longest, entry->work);
  }
  return longest;
}

Bytes InFlight::unsent(Duration rtt, BitsPerSecond rate, Instant now) const {
  if (count() == 0) return Bytes(0);
  const Instant begun = std::max(begin()->granted + rtt, last_arrival_);
  return bytes_ - std::min(begin()->bytes, sent_within(now - begun, rate));
}

Instant InFlight::owed_since(Duration rtt) const {
  if (count() == 0) return Instant::never();
  return std::max(begin()->granted + rtt, last_arrival_);
}

}  // namespace sluice::scheduler
