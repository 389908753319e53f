// The experiments by name: each is one function from recorded arrivals to a report, the same on every machine.
// Place in the flow: `sluice sim run NAME` -> here -> Report.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "scheduler/sim/arrivals.h"
#include "scheduler/sim/report.h"

namespace sluice::scheduler::sim {

/// What experiments are given. Threads: a value.
struct Inputs {
  /// scheduler/sim/data/mooncake_conversation.csv, as it was recorded.
  std::vector<Arrival> conversation;
};

/// Threads: a value; `run` is pure.
struct Experiment {
  std::string_view name;
  std::string_view summary;
  Report (*run)(const Inputs& inputs);
};

/// All there are, in the order in which a reader wants them.  Threads: pure.
std::span<const Experiment> all_experiments();

/// CacheGen's own test: 1 s for a context whose link is redrawn between 0.1 and 10 Gbit/s.
Report cachegen_test(const Inputs& inputs);
/// One request, 0.4 to 100 Gbit/s, 2K to 128K tokens, every kind of link: the gap to the clairvoyant optimum.
Report single_request_sweep(const Inputs& inputs);
/// The gap when one assumption is changed at a time.
Report sensitivity_test(const Inputs& inputs);
/// Front computed, back loaded, against the better of either alone.
Report two_ended_test(const Inputs& inputs);
/// An idle fast link: does the planner cost anything over plain raw rows?
Report idle_link_test(const Inputs& inputs);
/// A recorded service over one shared link: the highest load with 99 of 100 requests in time.
Report shared_link_test(const Inputs& inputs);
/// The recorded service on 64 nodes.
Report cluster_test(const Inputs& inputs);
/// Deadlines promised with 0.99 against those kept, links that vary included.
Report promise_test(const Inputs& inputs);
/// Many prefill nodes into few decode nodes.
Report incast_test(const Inputs& inputs);
/// Clusters of several sizes and oversubscribed racks.
Report size_test(const Inputs& inputs);
/// 64, 256 and 1,024 nodes in racks: what a simulation costs against its size.
Report small_scale_test(const Inputs& inputs);
Report middle_scale_test(const Inputs& inputs);
Report large_scale_test(const Inputs& inputs);
/// Messages that get lost.
Report fault_test(const Inputs& inputs);

}  // namespace sluice::scheduler::sim
