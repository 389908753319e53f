// What somebody could have done who knows the future: bounds that no policy passes, to measure all of them against.
// Invariant: where a bound cannot be exact it errs to the clairvoyant's favour.
#pragma once

#include <vector>

#include "scheduler/sim/closed_loop.h"

namespace sluice::scheduler::sim {

/// The highest mean quality at which one request can be here by its deadline; zero when it cannot be here at all.
/// Exact but for the parts' granularity (a part may be taken in part) and decode (which costs nothing): each chunk from
/// the front that can be computed in time is exact, and the link's bytes go to the rest along the concave hull of
/// quality over bytes, since all units are alike.
/// Source: greedy by slope, the optimum of a fractional knapsack.  Threads: pure.
PartsPerMillion best_quality(const Link& link, const Job& job, const QualityCurve& curve);

/// Bytes of a demand that become known at `released` and must be through by `due`; times from the start of a link.
struct Demand {
  Duration released{0};
  Duration due{0};
  Bytes bytes;
};
/// How many demands can be through in time on a link of constant rate, by earliest deadline first with preemption, when
/// those are left out that keep the most others waiting. Exact as to feasibility of what it keeps; what it leaves out
/// is a greedy choice (the largest of those that compete), optimal where all are released at once (Moore, 1968).
/// Threads: pure.
std::size_t most_in_time(const std::vector<Demand>& demands, BitsPerSecond rate);

}  // namespace sluice::scheduler::sim
