// Is a peer worth another try, and when? A circuit breaker per peer, with the back-off of reconnecting in it. Pure:
// time is a parameter, chance comes from a seed.
//
//   closed --failures_to_open in a row--> open --its wait is over--> half open --success--> closed
//                                          ^--------- failure ----------'
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"

namespace sluice::transport {

/// Waits grow twofold from `first_wait` with each failure in a row; each is drawn from the upper half of its length, so
/// that many nodes do not come back at once.
struct CircuitOptions {
  Duration first_wait = std::chrono::milliseconds(100);
  Duration longest_wait = std::chrono::seconds(10);
  std::uint32_t failures_to_open = 5;
  /// A trial of which nothing is heard for so long makes room for another.
  Duration trial = std::chrono::seconds(2);
};

enum class CircuitState : std::uint8_t { kClosed, kOpen, kHalfOpen };

/// "closed", "open", "half_open".  Threads: pure.
std::string_view circuit_state_name(CircuitState state);

/// Threads: one.
class Circuit {
 public:
  Circuit(const CircuitOptions& options, std::uint64_t seed) : options_(options), random_(seed) {}

  /// The peer did what it was asked for: all is well again.
  void succeeded();
  /// The peer could not be reached, was lost, or sent what was wrong. True when this opens the circuit.
  bool failed(Instant now);

  /// When connecting may be tried next; the past when nothing failed.
  Instant connect_at() const { return retry_at_; }
  /// Whether a request may go to the peer: always while closed, never while open, one at a time while half open.
  bool admit(Instant now);

  CircuitState state(Instant now) const;
  std::uint32_t failures() const { return failures_; }

 private:
  bool is_open() const { return failures_ >= options_.failures_to_open; }
  Duration wait();

  CircuitOptions options_;
  Random random_;
  std::uint32_t failures_ = 0;  // in a row
  Instant retry_at_;
  Instant trial_until_;
};

}  // namespace sluice::transport
