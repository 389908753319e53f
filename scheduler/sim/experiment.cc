#include "scheduler/sim/experiment.h"

#include <array>

namespace sluice::scheduler::sim {

std::span<const Experiment> all_experiments() {
  static constexpr std::array kExperiments = {
      Experiment{"e1", "CacheGen's own test: a deadline of 1 s on a link between 0.1 and 10 Gbit/s", cachegen_test},
      Experiment{"e2", "one request, 0.4 to 100 Gbit/s, 2K to 128K tokens, six kinds of link", single_request_sweep},
      Experiment{"e3", "a recorded chat service over one shared link: the load that each policy carries",
                 shared_link_test},
      Experiment{"e4", "incast: 32 prefill nodes into 8 to 1 decode nodes", incast_test},
      Experiment{"e5", "clusters of 16 to 128 nodes, racks oversubscribed up to 4 to 1", size_test},
      Experiment{"e7", "lost messages", fault_test},
      Experiment{"e8", "deadlines promised with 0.99 against those that were kept", promise_test},
      Experiment{"e10", "what E2's gap does when one assumption is another", sensitivity_test},
      Experiment{"cluster", "the recorded chat service on 64 nodes", cluster_test},
      Experiment{"scale-64", "64 nodes in racks, 6,400 requests", small_scale_test},
      Experiment{"scale-256", "256 nodes in racks, 25,600 requests", middle_scale_test},
      Experiment{"scale-1024", "1,024 nodes in racks, 100,000 requests", large_scale_test},
      Experiment{"two-ended", "compute the front while the back arrives, 0.4 to 5 Gbit/s", two_ended_test},
      Experiment{"idle", "an idle link of 100 Gbit/s and more, against plain raw rows", idle_link_test},
  };
  return kExperiments;
}

}  // namespace sluice::scheduler::sim
