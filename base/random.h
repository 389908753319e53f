// The one source of chance that a seed repeats: splitmix64, a few integer operations a number, the same on every
// machine and with every compiler.
#pragma once

#include <cstdint>

#include "base/assert.h"

namespace sluice {

/// Threads: one at a time.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) : state_(seed) {}

  constexpr std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31U);
  }
  /// Uniform in [0, bound); the bias of the remainder is below bound / 2^64.  Precondition: bound > 0.
  constexpr std::uint64_t below(std::uint64_t bound) {
    SLUICE_ASSERT(bound > 0);
    return next() % bound;
  }

 private:
  std::uint64_t state_;
};

}  // namespace sluice
