// Is the peer alive? Any byte of it says yes. Pure: time is a parameter.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace sluice::transport {

/// Threads: one.
class Heartbeat {
 public:
  Heartbeat(Duration interval, std::uint32_t misses, Instant now)
      : interval_(interval), silence_(interval * misses), heard_(now), ping_at_(now) {}

  void heard(Instant now) { heard_ = now; }
  /// True once an interval: a PING is due.
  bool take_ping(Instant now) {
    if (now < ping_at_) return false;
    ping_at_ = now + interval_;
    return true;
  }
  /// We ourselves slept or were busy for so long past our own timer: the peer's bytes may lie unread, so that time does
  /// not count as its silence. Nor does it count for a peer that was heard since.
  void excuse(Duration lateness, Instant now) {
    if (lateness > interval_) heard_ = std::min(heard_ + lateness, now);
  }
  bool is_silent(Instant now) const { return now - heard_ >= silence_; }
  Instant wake_at() const { return std::min(ping_at_, heard_ + silence_); }

 private:
  Duration interval_;
  Duration silence_;
  Instant heard_;
  Instant ping_at_;
};

}  // namespace sluice::transport
