// Runs a kernel body on a CPU: the 32 lanes of a warp are fibers that run one at a time, in an order that the caller
// chooses, and change at collectives only. Place in the flow: tests; it proves logic and bits, not speed and not memory
// ordering between blocks.
//
// Invariants: a collective completes only when all 32 lanes stand at the same place in the source; anything else
// (divergence, a lane that has ended) is reported, never guessed around. A body whose result depends on the order of
// lanes between two collectives gives different results under different schedules: run it under several.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

#include "kernels/cuda/lane.cuh"

namespace sluice::kernels::cuda {

/// The order in which runnable lanes take their turns.
struct Schedule {
  enum class Order { kAscending, kDescending, kShuffled };
  Order order = Order::kAscending;
  /// Of kShuffled: each turn of the warp is another permutation.
  std::uint64_t seed = 0;
};

class WarpEmulator;

/// The emulated counterpart of CudaLane, with the same collectives.
class EmulatedLane {
 public:
  EmulatedLane(WarpEmulator& warp, std::uint32_t index) : warp_(&warp), index_(index) {}

  std::uint32_t index() const { return index_; }
  std::uint32_t ballot(bool vote, std::source_location place = std::source_location::current());
  void sync(std::source_location place = std::source_location::current()) { (void)ballot(false, place); }
  static std::uint32_t ones(std::uint32_t bits);
  static float product(float a, float b) { return a * b; }
  static float sum(float a, float b) { return a + b; }

 private:
  WarpEmulator* warp_;
  std::uint32_t index_;
};

/// Runs `body` once for each lane of one warp.  Returns nothing, or what a card would have hung or trapped on.
/// Threads: one; any number of warps after each other.
std::string run_warp(const Schedule& schedule, const std::function<void(EmulatedLane&)>& body);

}  // namespace sluice::kernels::cuda
