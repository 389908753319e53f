#include "tests/sim/cluster.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/sim/node.h"
#include "tests/sim/wire_laws.h"

namespace sluice::transport::simtest {
namespace {

using std::chrono::milliseconds;

/// No seed needs nearly so many.
constexpr std::uint64_t kMostTurns = 2'000'000;

class Cluster {
 public:
  Cluster(std::uint64_t seed, RunPlan (*draw)(sim::World&))
      : world_(seed), plan_(draw(world_)), laws_(world_, plan_), network_(world_, plan_.pipes, laws_) {
    for (std::uint32_t place = 0; place < plan_.nodes; ++place) add({place, 0});
    if (plan_.skew == Skew::kVersion) laws_.faults().skew_version_of(nodes_.back()->loop());
  }

  void run(Outcome& outcome) {
    outcome.plan = in_words(plan_);
    for (std::uint32_t place = 0; place < plan_.nodes; ++place) begin(*nodes_[place], place);
    plan_faults();
    turn(world_.now() + plan_.length + plan_.settle);
    for (const auto& node : nodes_) {
      if (!node->loop().is_dead()) node->check_quiet();
    }
    laws_.check_quiet();
    count(outcome);
  }

  /// Nothing is checked any more but that everything ends.
  void put_away() {
    laws_.retire();
    for (const auto& node : nodes_) {
      node->retire();
      node->loop().revive();
    }
    for (const auto& node : nodes_) node->close();
    turn(world_.now() + plan_.settle);
    for (const auto& node : nodes_) {
      if (!node->is_closed()) broken("close did not end");
    }
  }

 private:
  Instant moment() { return world_.now() + world_.between(milliseconds(1), plan_.length); }
  SimNode& any_node() { return *nodes_[world_.between(0, nodes_.size() - 1)]; }

  SimNode& add(NodeNumber number) {
    nodes_.push_back(std::make_unique<SimNode>(network_, plan_, number));
    laws_.add(nodes_.back()->loop(), nodes_.back()->book());
    return *nodes_.back();
  }

  void begin(SimNode& node, std::uint32_t place) {
    node.keep_connected((place + 1) % plan_.nodes);
    for (std::uint32_t request = 0; request < plan_.requests; ++request) {
      node.loop().at(moment(), [&node] { node.open_request(); });
    }
    node.loop().at(moment(), [&node] { node.announce(); });
  }

  void turn(Instant bound) {
    while (world_.run_one(bound)) {
      if (world_.turns() > kMostTurns) broken("the cluster does not come to rest");
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

  /// As kill -9: the process stops; the system resets its connections, or the machine is gone and does not. Another may
  /// come at its address.
  void kill(SimNode& node) {
    node.loop().kill();
    network_.forget(node.loop());
    if (world_.one_in(2)) network_.reset(node.loop());
    if (!plan_.restarts) return;
    world_.after(world_.between(milliseconds(1), milliseconds(300)), [this] {
      const std::uint32_t place = plan_.nodes - 1;
      begin(add({place, 1}), place);
    });
  }

  void count(Outcome& outcome) const {
    for (const auto& node : nodes_) {
      outcome.completed += node->book().completed;
      outcome.delivered += node->book().delivered;
      outcome.sessions += node->book().ups;
    }
    outcome.requests = std::uint64_t{plan_.nodes} * plan_.requests;
    outcome.refused = laws_.refused();
  }

  sim::World world_;
  RunPlan plan_;
  WireLaws laws_;
  sim::SimNetwork network_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
};

Outcome run(std::uint64_t seed, RunPlan (*draw)(sim::World&)) {
  Outcome outcome;
  // A cluster whose law is broken is in no state to be put away; it is left as it is.
  auto* const cluster = new Cluster(seed, draw);
  try {
    cluster->run(outcome);
    cluster->put_away();
  } catch (const Broken& law) {
    outcome.broken = law.what();
    return outcome;
  }
  delete cluster;
  return outcome;
}

}  // namespace

Outcome run_seed(std::uint64_t seed) { return run(seed, draw_plan); }
Outcome run_tampering(std::uint64_t seed) { return run(seed, draw_tampering); }

}  // namespace sluice::transport::simtest
