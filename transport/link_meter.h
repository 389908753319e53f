// Delivery rate and round trip, as the receiver of KV sees them. A rate counts only time in which the link, not the
// sender, decided: between the ends of frames that the sender had queued back to back, and within one large frame.
// Pure: time is a parameter.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/quantity.h"
#include "transport/session.h"

namespace sluice::transport {

/// Threads: one.
class LinkMeter {
 public:
  /// A sample is taken when so much time or so many bytes have been counted, whichever is first.
  static constexpr Duration kSampleTime = std::chrono::milliseconds(20);
  static constexpr Bytes kSampleBytes{4U << 20U};
  /// A shorter time says more about the scheduler than about the link.
  static constexpr Duration kShortest = std::chrono::microseconds(200);

  /// A DATA frame's header is there; its payload follows.
  void frame_began(Instant now, bool back_to_back);
  /// Its payload is whole. Gives a sample when enough has been counted.
  std::optional<LinkSample> frame_ended(Bytes payload, Instant now);
  /// Nothing more is on its way: what has been counted is a sample if it is long enough to mean something.
  std::optional<LinkSample> quiet();
  void pong(Duration rtt);

  const LinkSample& sample() const { return sample_; }

 private:
  std::optional<LinkSample> close_sample();

  LinkSample sample_;
  Instant counted_from_;
  Instant last_end_;
  bool has_last_end_ = false;
  Duration counted_time_{0};
  Bytes counted_bytes_;
};

}  // namespace sluice::transport
