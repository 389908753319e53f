// A link in virtual time: bytes go one after another at a rate that may change in steps, behind a token bucket whose
// depth passes at once after idle time, and every message travels half a round trip and a little longer.
// Place in the flow: closed loop -> here; the cluster simulator will join many of them.
// Invariants: integers only, so a run is the same on every machine; messages of one direction keep their order.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/quantity.h"
#include "base/random.h"

namespace sluice::scheduler::sim {

/// A link as a scenario states it.
struct Link {
  /// The rate from `since` (virtual time) on; the first begins at 0.
  struct Phase {
    Duration since{0};
    BitsPerSecond rate;
  };
  std::vector<Phase> phases;
  Duration rtt{1'000'000};
  /// Bytes that pass at once when the link was idle long enough: a shaper's bucket.
  Bytes burst;
  /// Each message is late by up to so much.
  Duration jitter{0};
  /// Of the jitter.
  std::uint64_t seed = 1;

  /// The phase that holds at `now`; the first before it begins.  Precondition: there is a phase.  Threads: pure.
  std::size_t phase_at(Instant now) const;
  /// Precondition: there is a phase.  Threads: pure.
  BitsPerSecond rate_at(Instant now) const;
  /// When `bytes` begun at `start` are through, across phases; no burst.  Threads: pure.
  Instant sent(Bytes bytes, Instant start) const;
};

/// One link in use. Threads: one.
class LinkRun {
 public:
  explicit LinkRun(Link link) : link_(std::move(link)), random_(link_.seed) {}

  /// When a small message that leaves the receiver at `now` is at the sender; it does not wait for data.
  Instant ask(Instant now);
  /// When `bytes`, handed to the link at `asked`, are all at the receiver. Calls must come in order of `asked`.
  Instant send(Bytes bytes, Instant asked);
  /// Share of the time from the first byte to the last in which the link was sending; 1,000,000 before the first.
  PartsPerMillion busy() const;

 private:
  Duration late();

  Link link_;
  Random random_;
  /// Until when the bytes sent so far would have kept a bucket without depth busy.
  Instant owed_until_;
  Instant last_sent_;
  Instant last_arrival_;
  Instant last_ask_;
  Instant first_byte_ = Instant::never();
  Duration busy_time_{0};
};

}  // namespace sluice::scheduler::sim
