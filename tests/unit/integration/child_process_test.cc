#include "integration/child_process.h"

#include <gtest/gtest.h>
#include <csignal>

#include <cerrno>
#include <fstream>
#include <sstream>

namespace sluice::integration {
namespace {

class Child : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove(log_); }
  void TearDown() override { std::filesystem::remove(log_); }

  std::filesystem::path log_ =
      testing::TempDir() + "sluice_child_" + testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(Child, OutputGoesToItsLog) {
  ASSERT_TRUE(run_program({"sh", "-c", "echo out; echo complaint >&2"}, log_));
  std::stringstream text;
  text << std::ifstream(log_).rdbuf();
  EXPECT_EQ(text.str(), "out\ncomplaint\n");
}

TEST_F(Child, ExitStatusIsTheNativeError) {
  const Result<void> ended = run_program({"sh", "-c", "exit 7"}, log_);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().native, 7);
}

TEST_F(Child, MissingProgramIsAnError) { EXPECT_FALSE(run_program({"no-such-program-here"}, log_)); }

TEST_F(Child, LeavesNoProcessOfItsGroupBehind) {
  pid_t pid = -1;
  {
    Result<ChildProcess> child = ChildProcess::start({"sh", "-c", "sleep 1000 & sleep 1000"}, log_);
    ASSERT_TRUE(child);
    EXPECT_TRUE(child->is_running());
    pid = child->pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST_F(Child, OneThatIgnoresTheRequestIsKilled) {
  Result<ChildProcess> child = ChildProcess::start({"sh", "-c", "trap '' TERM; while :; do sleep 1000; done"}, log_);
  ASSERT_TRUE(child);
  child->stop(std::chrono::milliseconds(50));
  EXPECT_FALSE(child->is_running());
}

}  // namespace
}  // namespace sluice::integration
