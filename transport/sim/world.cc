#include "transport/sim/world.h"

#include <algorithm>

#include "base/assert.h"

namespace sluice::transport::sim {
namespace {

/// A task that was posted takes its turn within this.
constexpr Duration kLongestTurn = std::chrono::microseconds(20);

class NodeAlarm final : public Alarm {
 public:
  NodeAlarm(World& world, NodeLoop& loop) : world_(world), loop_(loop) {}
  ~NodeAlarm() override { cancel(); }

  void set(Duration after, std::function<void()> ring) override {
    const std::uint64_t setting = *settings_ += 1;
    loop_.at(world_.now() + after, [settings = settings_, setting, ring = std::move(ring)] {
      if (*settings == setting) ring();
    });
  }
  void cancel() override { *settings_ += 1; }

 private:
  World& world_;
  NodeLoop& loop_;
  std::shared_ptr<std::uint64_t> settings_ = std::make_shared<std::uint64_t>(0);
};

}  // namespace

void World::give(Instant due, NodeLoop* loop, std::function<void()> task) {
  tasks_.push_back({std::max(due, now_), given_++, loop, std::move(task)});
  std::push_heap(tasks_.begin(), tasks_.end(), is_later);
}

bool World::run_one(Instant bound) {
  if (tasks_.empty() || tasks_.front().due > bound) return false;
  std::pop_heap(tasks_.begin(), tasks_.end(), is_later);
  Task next = std::move(tasks_.back());
  tasks_.pop_back();
  now_ = next.due;
  ++turns_;
  if (next.loop == nullptr) {
    next.run();
  } else {
    next.loop->run(std::move(next.run));
  }
  return true;
}

std::uint64_t World::between(std::uint64_t low, std::uint64_t high) { return low + random_() % (high - low + 1); }

Duration World::between(Duration low, Duration high) {
  return low + Duration(static_cast<std::int64_t>(between(0, static_cast<std::uint64_t>((high - low).count()))));
}

void NodeLoop::post(std::function<void()> task) {
  last_post_ = std::max(last_post_, world_.now() + world_.between(Duration(0), kLongestTurn));
  at(last_post_, std::move(task));
}

std::unique_ptr<Alarm> NodeLoop::make_alarm() { return std::make_unique<NodeAlarm>(world_, *this); }

void NodeLoop::run(std::function<void()> task) {
  if (!dead_ && waiting_.empty() && world_.now() >= paused_until_) return task();
  waiting_.push_back(std::move(task));
  wake();
}

// Whatever had to wait goes first, also before what is due at the very end of the pause.
void NodeLoop::wake() {
  if (waking_ || dead_ || waiting_.empty()) return;
  waking_ = true;
  world_.at(paused_until_, [this] {
    waking_ = false;
    if (dead_ || world_.now() < paused_until_) return wake();
    std::vector<std::function<void()>> due;
    due.swap(waiting_);
    for (std::function<void()>& task : due) task();
    SLUICE_ASSERT(waiting_.empty());  // a task never runs another
  });
}

void NodeLoop::revive() {
  dead_ = false;
  wake();
}

void NodeLoop::pause(Duration span) {
  if (world_.now() >= paused_until_) paused_from_ = world_.now();
  paused_until_ = std::max(paused_until_, world_.now() + span);
}

}  // namespace sluice::transport::sim
