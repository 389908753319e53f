// One thread with a bounded queue of jobs, for work that may block the loop: codec and engine. Jobs run in order.
// Shutdown: stop() drops what has not begun and waits for the running job. Whoever still holds the worker is refused
// after that: what the loop has left to do, and the jobs of another worker, may come to it late.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/result.h"

namespace sluice::integration {

/// Threads: post() and queued() from any, the others from the one that made it.
class Worker {
 public:
  static constexpr std::size_t kMaxJobs = 65536;

  Worker();
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Errors: kQueueFull, kDraining once stopped; the job was not taken then.
  Result<void> post(std::function<void()> job);
  void stop();
  std::size_t queued() const;

 private:
  void run(const std::stop_token& stop);

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::function<void()>> jobs_;
  bool stopped_ = false;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace sluice::integration
