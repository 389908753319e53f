// Experiments on a whole cluster: one run as large as is recorded, policies beside each other, faults, and sizes.
#include <algorithm>
#include <cmath>

#include "scheduler/sim/cluster.h"
#include "scheduler/sim/experiment.h"
#include "scheduler/sim/trial.h"

namespace sluice::scheduler::sim {
namespace {

constexpr std::uint64_t kSeed = 1000;
constexpr std::ptrdiff_t kWarmRequests = 2'000;

/// So many requests, the recorded ones over and over, `speed` times as fast.
std::vector<Arrival> service(const Inputs& inputs, std::size_t requests, std::int64_t speed) {
  std::vector<Arrival> once = spread_out(inputs.conversation, kSeed);
  // The caches fill in the beginning; shorter runs begin after that.
  if (requests < once.size() - std::size_t{kWarmRequests}) {
    once.erase(once.begin(), once.begin() + kWarmRequests);
    const Duration begin = once.front().at;
    for (Arrival& arrival : once) arrival.at -= begin;
  }
  std::vector<Arrival> all;
  Duration offset{0};
  while (all.size() < requests) {
    for (Arrival arrival : once) {
      arrival.at = (offset + arrival.at) / speed;
      if (all.size() < requests) all.push_back(arrival);
    }
    offset += once.back().at;
  }
  return all;
}

ClusterShape shape_of(std::uint32_t nodes) {
  ClusterShape shape;
  shape.prefill_nodes = nodes / 2;
  shape.decode_nodes = nodes - nodes / 2;
  shape.codec = tier0();
  shape.prefill = fast_prefill();
  shape.seed = kSeed;
  return shape;
}

std::string share_text(std::uint64_t part, std::uint64_t whole) {
  return number_text(100.0 * static_cast<double>(part) / static_cast<double>(std::max<std::uint64_t>(1, whole)), 2) +
         " %";
}

std::string hex_text(std::uint64_t number) {
  std::string text;
  for (int digit = 60; digit >= 0; digit -= 4) text += "0123456789abcdef"[number >> static_cast<unsigned>(digit) & 15U];
  return text;
}

const std::vector<std::string> kColumns = {"run",        "requests", "in time",      "quality in time",
                                           "recomputed", "sent",     "most at once", "log"};

std::vector<std::string> row_of(const std::string& name, const ClusterResult& result) {
  return {name,
          std::to_string(result.requests),
          share_text(result.in_time, result.requests),
          number_text(result.mean_quality, 3),
          share_text(result.recomputed, result.requests),
          number_text(static_cast<double>(result.sent.count()) / 1e12, 2) + " TB",
          std::to_string(result.most_live),
          hex_text(result.log_digest)};
}

Report scale_test(const Inputs& inputs, std::uint32_t nodes, std::size_t requests) {
  constexpr std::uint32_t kRackNodes = 32;
  Report report{
      .title = "Scale: " + std::to_string(nodes) + " nodes",
      .setting =
          "The recorded service over and over, four times as fast as recorded for each 64 nodes; racks of 32 "
          "nodes whose uplinks carry half of their ports; otherwise as the cluster's run. JSON says how long it "
          "took and how much memory.",
      .columns = kColumns};
  ClusterShape shape = shape_of(nodes);
  shape.rack_nodes = kRackNodes;
  shape.rack_port = shape.port * kRackNodes / 2;
  const ClusterResult result = run_cluster(shape, service(inputs, requests, nodes / 16));
  report.rows.push_back(row_of(std::to_string(nodes) + " nodes", result));
  report.figures = {{"requests", static_cast<double>(result.requests)},
                    {"not_ended", static_cast<double>(result.requests - result.ended)},
                    {"events", static_cast<double>(result.events)}};
  return report;
}

}  // namespace

Report small_scale_test(const Inputs& inputs) { return scale_test(inputs, 64, 6'400); }
Report middle_scale_test(const Inputs& inputs) { return scale_test(inputs, 256, 25'600); }
Report large_scale_test(const Inputs& inputs) { return scale_test(inputs, 1'024, 100'000); }

Report cluster_test(const Inputs& inputs) {
  Report report{
      .title = "Cluster: the recorded chat service on 64 nodes",
      .setting =
          "All 12,031 requests of Mooncake's conversation trace, four times as fast as recorded, on 32 nodes "
          "that prefill and 32 that decode, ports of 25 Gbit/s; due 1 s and twice the request's own prefill "
          "after it came, floor 0.92, T0's levels. Every decode node has its own planner. The log is the digest "
          "of every event and action.",
      .columns = kColumns};
  const ClusterResult result = run_cluster(shape_of(64), service(inputs, inputs.conversation.size(), 4));
  report.rows.push_back(row_of("sluice", result));
  report.figures = {
      {"requests", static_cast<double>(result.requests)},
      {"not_ended", static_cast<double>(result.requests - result.ended)},
      {"lost_bytes", static_cast<double>((result.sent - result.arrived).count())},
      {"in_time_percent", 100.0 * static_cast<double>(result.in_time) / static_cast<double>(result.requests)},
      {"events", static_cast<double>(result.events)}};
  return report;
}

Report incast_test(const Inputs& inputs) {
  Report report{.title = "E4: incast on a decode node",
                .setting =
                    "2,000 requests of Mooncake's conversation trace, 32 nodes that prefill and 8, 4, 2 or 1 "
                    "that decode, ports of 25 Gbit/s, twice as fast as recorded; due 1 s and twice the request's "
                    "own prefill after it came, floor 0.92, T0's levels.",
                .columns = kColumns};
  for (const std::uint32_t decode_nodes : {8, 4, 2, 1}) {
    for (const char* policy : {"sluice", "fixed:base+r1", "cachegen", "kvserve", "raw"}) {
      ClusterShape shape = shape_of(64);
      shape.decode_nodes = decode_nodes;
      shape.policy = policy;
      const ClusterResult result = run_cluster(shape, service(inputs, 2'000, 2));
      report.rows.push_back(row_of("32 to " + std::to_string(decode_nodes) + ", " + policy, result));
    }
  }
  return report;
}

Report size_test(const Inputs& inputs) {
  Report report{
      .title = "E5: sizes of cluster and fat tree",
      .setting =
          "The recorded service over and over, in proportion to the nodes, four times as fast as recorded for "
          "each 64 nodes; racks of 16 nodes whose uplinks carry a half or a quarter of their ports; otherwise as "
          "the cluster's run.",
      .columns = kColumns};
  for (const std::uint32_t nodes : {16, 32, 64, 128}) {
    for (const std::uint64_t oversubscribed : {1, 2, 4}) {
      ClusterShape shape = shape_of(nodes);
      if (oversubscribed > 1) {
        shape.rack_nodes = 16;
        shape.rack_port = shape.port * 16 / oversubscribed;
      }
      const ClusterResult result = run_cluster(shape, service(inputs, std::size_t{nodes} * 40, nodes / 16));
      report.rows.push_back(
          row_of(std::to_string(nodes) + " nodes, " + std::to_string(oversubscribed) + " to 1", result));
    }
  }
  return report;
}

Report fault_test(const Inputs& inputs) {
  Report report{.title = "E7: lost messages",
                .setting =
                    "4,000 requests on the cluster's 64 nodes; one message in 1,000, 100 or 20 is lost, which "
                    "its receiver learns 50 ms later.",
                .columns = kColumns};
  std::uint64_t not_ended = 0;
  for (const std::uint64_t one_in : {0, 1'000, 100, 20}) {
    ClusterShape shape = shape_of(64);
    shape.loss_one_in = one_in;
    const ClusterResult result = run_cluster(shape, service(inputs, 4'000, 4));
    not_ended += result.requests - result.ended;
    report.rows.push_back(row_of(one_in == 0 ? "none lost" : "one in " + std::to_string(one_in), result));
  }
  report.figures = {{"not_ended", static_cast<double>(not_ended)}};
  return report;
}

}  // namespace sluice::scheduler::sim
