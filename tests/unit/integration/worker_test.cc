#include "integration/worker.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace sluice::integration {
namespace {

TEST(Worker, RunsJobsInOrder) {
  Worker worker;
  std::vector<int> seen;
  std::promise<void> done;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(worker.post([&seen, i] { seen.push_back(i); }));
  ASSERT_TRUE(worker.post([&done] { done.set_value(); }));
  done.get_future().wait();
  ASSERT_EQ(seen.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
}

/// A node that closes: the loop and the other worker's running job still know this one.
TEST(Worker, RefusesWhatComesAfterItHasStopped) {
  Worker worker;
  worker.stop();
  const Result<void> late = worker.post([] { FAIL() << "a stopped worker ran a job"; });
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kDraining);
  EXPECT_EQ(worker.queued(), 0u);
  worker.stop();
}

TEST(Worker, StopsAfterTheRunningJobAndDropsTheOthers) {
  Worker worker;
  std::promise<void> begun;
  std::promise<void> go_on;
  bool is_done = false;
  auto dropped = std::make_shared<int>(0);
  ASSERT_TRUE(worker.post([&] {
    begun.set_value();
    // Until stop() has been called; a full queue is no end.
    go_on.get_future().wait();
    for (Result<void> posted; posted || posted.error().code != ErrorCode::kDraining; posted = worker.post([] {})) {
      std::this_thread::yield();
    }
    is_done = true;
  }));
  ASSERT_TRUE(worker.post([dropped] { ++*dropped; }));
  begun.get_future().wait();
  go_on.set_value();
  worker.stop();
  EXPECT_TRUE(is_done);
  EXPECT_EQ(*dropped, 0);
  EXPECT_EQ(dropped.use_count(), 1);
}

}  // namespace
}  // namespace sluice::integration
