// A cluster in virtual time: nodes that prefill, nodes that decode, the network between them, and one policy on each
// decode node, which is the real one. Requests of a recorded service come in, are prefilled in chunks one after another
// on the least busy prefill node (tokens that an earlier prompt had are cached there), coded, granted by the decode
// node over shared ports, decoded and published. Not modelled: the engines' batches, leases, caches with bounds.
// Invariants: integers, one queue ordered by (time, number) and one seed, so that a run's log is the same to the byte
// on every machine; memory grows with the requests in the system, not with those that were.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "scheduler/policy.h"
#include "scheduler/sim/arrivals.h"
#include "scheduler/sim/codec_model.h"
#include "scheduler/sim/fabric.h"

namespace sluice::scheduler::sim {

/// Threads: a value.
struct ClusterShape {
  std::uint32_t prefill_nodes = 32;
  std::uint32_t decode_nodes = 32;
  BitsPerSecond port{25'000'000'000};
  /// See FabricShape.
  std::uint32_t rack_nodes = 0;
  BitsPerSecond rack_port;
  Duration rtt{100'000};
  CodecModel codec;
  PrefillCost prefill;
  std::uint32_t chunk_tokens = 1024;
  /// Rows a second that a prefill node codes.
  BitsPerSecond encode{800'000'000'000};
  /// A request is due this long after it came, and so many times its own prefill.
  Duration deadline_fixed{1'000'000'000};
  std::int64_t deadline_prefills = 2;
  PartsPerMillion floor{920'000};
  std::string policy = "sluice";
  /// A message in so many is lost and reported as failed after kLossTimeout; 0: none.
  std::uint64_t loss_one_in = 0;
  std::uint64_t seed = 1;
};

/// What came of all requests.
struct ClusterResult {
  std::uint64_t requests = 0;
  std::uint64_t in_time = 0;
  std::uint64_t recomputed = 0;
  std::uint64_t ended = 0;
  std::uint64_t events = 0;
  /// Of those in time.
  double mean_quality = 0;
  Bytes sent;
  Bytes arrived;
  Duration last_end{0};
  /// Requests in the system at one time, at most.
  std::size_t most_live = 0;
  /// FNV-1a of the log: every event and action, with its time.
  std::uint64_t log_digest = 0;
};

/// Runs to the end of the last request.
/// Precondition: a policy that make_policy() knows; arrivals in order.  Threads: pure.
ClusterResult run_cluster(const ClusterShape& shape, const std::vector<Arrival>& arrivals);

}  // namespace sluice::scheduler::sim
