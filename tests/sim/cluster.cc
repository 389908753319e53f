#include "tests/sim/cluster.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/sim/node.h"

namespace sluice::transport::simtest {
namespace {

using std::chrono::milliseconds;

/// After this much of quiet every deadline, re-send and silence has passed.
constexpr Duration kSettle = milliseconds(4000);

RunPlan draw_plan(sim::World& world) {
  RunPlan plan;
  plan.nodes = static_cast<std::uint32_t>(world.between(2, 3));
  plan.requests = static_cast<std::uint32_t>(world.between(1, 8));
  plan.endpoint.heartbeat = milliseconds(world.between(10, 100));
  plan.endpoint.misses = static_cast<std::uint32_t>(world.between(2, 5));
  plan.endpoint.handshake_timeout = milliseconds(world.between(50, 500));
  plan.endpoint.part_retries = static_cast<std::uint32_t>(world.between(0, 3));
  plan.endpoint.ring = Bytes(world.one_in(3) ? world.between(20'480, 65'536) : 1U << 20U);
  plan.endpoint.slots = static_cast<std::uint32_t>(world.one_in(3) ? world.between(1, 4) : 64);
  plan.endpoint.max_requests_per_session = static_cast<std::uint32_t>(world.one_in(8) ? world.between(1, 3) : 64);
  plan.pipes.delay = std::chrono::microseconds(world.between(20, 20'000));
  plan.pipes.rate = BitsPerSecond(world.one_in(3) ? world.between(500'000, 20'000'000) : 1'000'000'000U);
  if (world.one_in(6)) plan.pipes.queue = Bytes(world.between(1'000, 60'000));
  if (world.one_in(4)) plan.pipes.corrupt_one_in = world.between(5, 500);
  const auto some = [&](std::uint64_t most) {
    return static_cast<std::uint32_t>(world.one_in(3) ? world.between(1, most) : 0);
  };
  plan.resets = some(4);
  plan.partitions = some(4);
  plan.pauses = some(3);
  plan.kills = world.one_in(5);
  plan.drains = world.one_in(6);
  return plan;
}

std::string in_words(const RunPlan& plan) {
  return fmt::format(
      "{} nodes, {} requests each, heartbeat {} ms x {}, ring {} in {} slots, delay {} us, {} bit/s, queue {}, corrupt "
      "1/{}, {} resets, {} partitions, {} pauses{}{}",
      plan.nodes, plan.requests, plan.endpoint.heartbeat.count() / 1'000'000, plan.endpoint.misses,
      plan.endpoint.ring.count(), plan.endpoint.slots, plan.pipes.delay.count() / 1'000, plan.pipes.rate.count(),
      plan.pipes.queue.count(), plan.pipes.corrupt_one_in, plan.resets, plan.partitions, plan.pauses,
      plan.kills ? ", a kill" : "", plan.drains ? ", a drain" : "");
}

class Cluster {
 public:
  explicit Cluster(std::uint64_t seed) : world_(seed), plan_(draw_plan(world_)), network_(world_, plan_.pipes) {
    for (std::uint32_t number = 0; number < plan_.nodes; ++number) {
      nodes_.push_back(std::make_unique<SimNode>(network_, plan_, number));
    }
  }

  void run(Outcome& outcome) {
    outcome.plan = in_words(plan_);
    for (std::uint32_t number = 0; number < plan_.nodes; ++number) {
      nodes_[number]->keep_connected((number + 1) % plan_.nodes);
      for (std::uint32_t request = 0; request < plan_.requests; ++request) {
        SimNode* const node = nodes_[number].get();
        node->loop().at(moment(), [node] { node->open_request(); });
      }
    }
    plan_faults();
    turn(world_.now() + plan_.length + kSettle);
    for (const auto& node : nodes_) {
      if (!node->loop().is_dead()) node->check_quiet();
    }
    count(outcome);
  }

  /// Nothing is checked any more but that everything ends.
  void put_away() {
    for (const auto& node : nodes_) {
      node->retire();
      node->loop().revive();
    }
    for (const auto& node : nodes_) node->close();
    turn(world_.now() + kSettle);
    for (const auto& node : nodes_) {
      if (!node->is_closed()) Book::broken("{} did not end", "close", RequestId());
    }
  }

 private:
  Instant moment() { return world_.now() + world_.between(milliseconds(1), plan_.length); }
  SimNode& any_node() { return *nodes_[world_.between(0, nodes_.size() - 1)]; }

  void turn(Instant bound) {
    while (world_.run_one(bound)) {
    }
  }

  void plan_faults() {
    for (std::uint32_t fault = 0; fault < plan_.resets; ++fault) {
      world_.at(moment(), [this] { network_.reset(any_node().loop()); });
    }
    for (std::uint32_t fault = 0; fault < plan_.partitions; ++fault) {
      world_.at(moment(), [this] { part(any_node()); });
    }
    for (std::uint32_t fault = 0; fault < plan_.pauses; ++fault) {
      world_.at(moment(), [this] { any_node().loop().pause(world_.between(milliseconds(1), milliseconds(800))); });
    }
    if (plan_.kills) world_.at(moment(), [this] { kill(*nodes_.back()); });
    if (plan_.drains) {
      world_.at(moment(), [this] {
        SimNode& node = *nodes_.front();
        node.loop().post([&node] { node.drain(); });
      });
    }
  }

  /// One way or both ways, for a while: bytes are late, not lost, as TCP has it.
  void part(SimNode& node) {
    const Duration span = world_.between(milliseconds(1), milliseconds(1200));
    const auto hold = [&](SimNode& held) {
      for (const auto& end : network_.ends_of(held.loop())) {
        end->hold_back();
        world_.after(span, [end] { end->release(); });
      }
    };
    hold(node);
    if (!world_.one_in(2)) return;
    for (const auto& other : nodes_) {
      if (other.get() != &node) hold(*other);
    }
  }

  /// As kill -9: the process stops; the system resets its connections, or the machine is gone and does not.
  void kill(SimNode& node) {
    node.loop().kill();
    if (world_.one_in(2)) network_.reset(node.loop());
  }

  void count(Outcome& outcome) const {
    for (const auto& node : nodes_) {
      outcome.completed += node->book().completed;
      outcome.delivered += node->book().delivered;
      outcome.sessions += node->book().ups;
    }
    outcome.requests = std::uint64_t{plan_.nodes} * plan_.requests;
  }

  sim::World world_;
  RunPlan plan_;
  sim::SimNetwork network_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
};

}  // namespace

Outcome run_seed(std::uint64_t seed) {
  Outcome outcome;
  // A cluster whose law is broken is in no state to be put away; it is left as it is.
  auto* const cluster = new Cluster(seed);
  try {
    cluster->run(outcome);
    cluster->put_away();
  } catch (const Broken& broken) {
    outcome.broken = broken.what();
    return outcome;
  }
  delete cluster;
  return outcome;
}

}  // namespace sluice::transport::simtest
