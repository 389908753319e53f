#include "integration/worker.h"

#include <utility>

namespace sluice::integration {

Worker::Worker() : thread_([this](const std::stop_token& stop) { run(stop); }) {}

Worker::~Worker() { stop(); }

void Worker::stop() {
  std::deque<std::function<void()>> dropped;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    dropped.swap(jobs_);
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

Result<void> Worker::post(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return Error{ErrorCode::kDraining, 0, "worker"};
    if (jobs_.size() >= kMaxJobs) return Error{ErrorCode::kQueueFull, 0, "worker"};
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return {};
}

std::size_t Worker::queued() const {
  const std::lock_guard lock(mutex_);
  return jobs_.size();
}

void Worker::run(const std::stop_token& stop) {
  while (true) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !jobs_.empty(); })) return;
      if (stop.stop_requested()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
  }
}

}  // namespace sluice::integration
