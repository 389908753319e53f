// A closed-loop run as one value, and the scenarios that the laws and the published table are about: the demo's model
// (SmolLM2 135M, 23,040 bytes of KV a token) on nodes of one core. Sizes and speeds are the codec's own on that model.
#pragma once

#include <string>
#include <string_view>

#include "scheduler/sim/closed_loop.h"

namespace sluice::scheduler::sim {

/// One job over one link.
struct Scenario {
  Link link;
  /// The policy has measured the link before.
  bool is_warm = false;
  /// How fast decode really is against what the policy is told.
  PartsPerMillion decode_speed{1'000'000};
  Job job;
};

/// What came of it.
struct ScenarioResult {
  Outcome outcome;
  /// See LinkRun::busy().
  PartsPerMillion link_busy;
  /// The last action, explained.
  std::string last_action;
};

/// Runs the job under a policy by name.
/// Precondition: the name is one that make_policy() knows.  Threads: pure.
ScenarioResult run_scenario(std::string_view policy, const Scenario& scenario);

/// Wire sizes of a unit's parts: 16 bits a value raw, 1.54 / +1.80 / +1.70 for the stages, 13.6 lossless, 8.25 in 8
/// bit. Threads: pure.
PartSizes measured_sizes(Bytes raw);
/// Decode on one core: 200 MB of rows a second from the base, 400 from 8 bit, 1,500 from raw.  Threads: pure.
DecodeCosts measured_decode();

/// A prompt of `chunks` x 256 tokens on a link of `rate` with 1 ms of round trip: prefill takes either node 90 tokens a
/// second, a unit is six layers, encoding one takes 40 ms, the first token 100 ms. No deadline yet.  Threads: pure.
Scenario demo_scenario(Mode mode, BitsPerSecond rate, std::uint32_t chunks);

}  // namespace sluice::scheduler::sim
