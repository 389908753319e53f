// What is random about a whole run of the simulated cluster, drawn once from its seed.
#pragma once

#include <cstdint>
#include <string>

#include "transport/endpoint.h"
#include "transport/sim/sim_pipe.h"
#include "transport/sim/world.h"

namespace sluice::transport::simtest {

/// What may happen to frames between two nodes: 0 for never.
struct FramePlan {
  std::uint64_t flip_one_in = 0;    ///< one bit, of any frame
  std::uint64_t double_one_in = 0;  ///< a frame comes twice
  std::uint64_t tamper_one_in = 0;  ///< a DATA frame is made wrong by somebody who knows the protocol
  std::uint32_t losses = 0;         ///< frames that vanish, in all
  bool ends_vanish = false;         ///< no DONE and no ABORT arrives
};

/// How a greeting of the last node differs from all others.
enum class Skew : std::uint8_t { kNone, kVersion, kModel, kLayout, kRope, kEngine, kProfile };

/// Threads: a value.
struct RunPlan {
  EndpointOptions endpoint;
  sim::PipeOptions pipes;
  FramePlan frames;
  std::uint32_t nodes = 2;
  std::uint32_t requests = 4;  ///< that each node opens
  std::uint64_t largest_part = 20'000;
  /// No faults, nobody refuses, forgets or gives up, and there is time: everything must come about.
  bool calm = false;
  bool drains = false;
  Skew skew = Skew::kNone;
  /// Faults, 0 for none: how many of each.
  std::uint32_t resets = 0;
  std::uint32_t partitions = 0;
  std::uint32_t pauses = 0;
  bool kills = false;
  bool restarts = false;  ///< the killed node, under the next epoch
  Duration shortest_deadline = std::chrono::milliseconds(3);
  Duration longest_deadline = std::chrono::milliseconds(900);
  Duration length = std::chrono::milliseconds(1500);  ///< in which things begin
  Duration settle{0};                                 ///< after which every deadline, re-send and silence has passed

  /// Bytes never stay away, so that a silence has no excuse.
  bool never_stalls() const {
    return resets == 0 && partitions == 0 && pauses == 0 && !kills && frames.losses == 0 && !frames.ends_vanish &&
           frames.flip_one_in == 0 && frames.tamper_one_in == 0;
  }
};

RunPlan draw_plan(sim::World& world);
/// The same, but every second DATA frame is tampered with, and nothing else goes wrong.
RunPlan draw_tampering(sim::World& world);
std::string in_words(const RunPlan& plan);

}  // namespace sluice::transport::simtest
