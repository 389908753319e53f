// Policies side by side on links that waver: the same prompts, the same stated deadlines, the same noise for each.
// Place in the flow: `sluice sim links` and the table in docs/benchmarks.
// Invariant: integers and seeds only, so the same table comes out on every machine.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "scheduler/sim/scenario.h"

namespace sluice::scheduler::sim {

/// One cell group of the table: a scene on a link with the deadline that is stated for it.
struct LinkCase {
  Mode mode = Mode::kReuse;
  BitsPerSecond rate;
  std::uint32_t chunks = 8;
  Duration deadline{0};
};

/// What a policy made of a case, over all seeds.
struct LinkRow {
  std::string policy;
  /// Median time to first token.
  Duration ttft{0};
  /// Runs whose first token was on time, of `runs`.
  std::uint32_t on_time = 0;
  std::uint32_t runs = 0;
  std::uint32_t recomputed = 0;
  /// Means; a recompute's quality is exact, its wire what was sent before.
  PartsPerMillion quality;
  Bytes wire;
};

/// A link of that rate on average: every 200 ms it is another of 50 to 150 %, with a shaper's burst and jitter.
/// Threads: pure.
Link wavering_link(BitsPerSecond rate, std::uint64_t seed);

/// Runs every policy on the case, `runs` seeds each. Only "sluice" has a hard deadline: the others deliver late rather
/// than not at all. The planner of each run is cold.
/// Precondition: names that make_policy() knows, runs > 0.  Threads: pure.
std::vector<LinkRow> compare_policies(const LinkCase& wanted, const std::vector<std::string_view>& policies,
                                      std::uint32_t runs);

}  // namespace sluice::scheduler::sim
