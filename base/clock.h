// Time is a parameter: decisions take an Instant, and only the composition root owns a Clock that reads real time.
#pragma once

#include <chrono>
#include <compare>

#include "base/quantity.h"

namespace sluice {

/// A point of a node's monotonic time. Never wall clock, never comparable between nodes.
class Instant {
 public:
  constexpr Instant() = default;
  constexpr explicit Instant(Duration since_start) : since_start_(since_start) {}
  constexpr Duration since_start() const { return since_start_; }
  static constexpr Instant never() { return Instant(Duration::max()); }
  constexpr auto operator<=>(const Instant&) const = default;

  /// Saturates at never().
  friend constexpr Instant operator+(Instant point, Duration span) {
    if (span.count() > 0 && point.since_start_ > Duration::max() - span) return never();
    return Instant(point.since_start_ + span);
  }
  friend constexpr Duration operator-(Instant later, Instant earlier) {
    return later.since_start_ - earlier.since_start_;
  }

 private:
  Duration since_start_{0};
};

/// The seam to time. Threads: now() from any.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
};

/// The machine's monotonic clock, counted from its construction.
class MonotonicClock final : public Clock {
 public:
  MonotonicClock() : start_(std::chrono::steady_clock::now()) {}
  Instant now() const override {
    return Instant(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - start_));
  }

 private:
  std::chrono::steady_clock::time_point start_;
};

/// A clock that a test sets by hand. Threads: one.
class ManualClock final : public Clock {
 public:
  Instant now() const override { return now_; }
  void advance(Duration span) { now_ = now_ + span; }

 private:
  Instant now_;
};

}  // namespace sluice
