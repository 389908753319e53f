// Virtual time of a simulated cluster, and the share of it that each node has as its Loop. One thread runs everything;
// nothing sleeps; the same seed gives the same run. Source: deterministic simulation testing, RELIABILITY T1.
// Invariants: time never goes back; what a node posts runs in the order of posting; a dead node runs nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "transport/loop.h"

namespace sluice::transport::sim {

class NodeLoop;

/// Tasks by the moment they are due. Threads: one.
class World final : public Clock {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  Instant now() const override { return now_; }
  /// Not before now. Tasks of one moment run in the order in which they were given.
  void at(Instant due, std::function<void()> task) { give(due, nullptr, std::move(task)); }
  void after(Duration span, std::function<void()> task) { at(now_ + span, std::move(task)); }
  /// Runs the next task; false when there is none that is due by `bound`.
  bool run_one(Instant bound);

  /// A whole number in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high);
  Duration between(Duration low, Duration high);
  /// True once in `times` on average.
  bool one_in(std::uint64_t times) { return between(1, times) == 1; }
  /// Tasks that have run.
  std::uint64_t turns() const { return turns_; }

 private:
  friend class NodeLoop;
  struct Task {
    Instant due;
    std::uint64_t number;  // in the order in which they were given
    NodeLoop* loop;        // whose turn it is; nullptr: the world's own
    std::function<void()> run;
  };
  static bool is_later(const Task& one, const Task& other) {
    return std::pair(one.due, one.number) > std::pair(other.due, other.number);
  }
  void give(Instant due, NodeLoop* loop, std::function<void()> task);

  Instant now_;
  std::uint64_t given_ = 0;
  std::uint64_t turns_ = 0;
  std::vector<Task> tasks_;  // a heap by is_later
  std::mt19937_64 random_;
};

/// One node's turns. Threads: one.
class NodeLoop final : public Loop {
 public:
  explicit NodeLoop(World& world) : world_(world) {}

  void post(std::function<void()> task) override;
  /// Everything is on the loop's thread here.
  void dispatch(std::function<void()> task) override { task(); }
  std::unique_ptr<Alarm> make_alarm() override;

  /// At `due` in this node's time: later while it is paused, never when it is dead.
  void at(Instant due, std::function<void()> task) { world_.give(due, this, std::move(task)); }
  /// Now, or when it wakes. Not from inside another task of this node.
  void run(std::function<void()> task);
  /// As a stopped process: nothing runs until then.
  void pause(Duration span);
  /// As a killed process: nothing runs. What would have run is kept for revive(), by which a test puts things away.
  void kill() { dead_ = true; }
  void revive();
  bool is_dead() const { return dead_; }
  /// The last pause.
  Instant paused_from() const { return paused_from_; }
  Instant paused_until() const { return paused_until_; }

 private:
  void wake();

  World& world_;
  Instant last_post_;
  Instant paused_from_;
  Instant paused_until_;
  bool dead_ = false;
  std::vector<std::function<void()>> waiting_;  ///< for the end of a pause or of death, in the order they were due
  bool waking_ = false;
};

}  // namespace sluice::transport::sim
