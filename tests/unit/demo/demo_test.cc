#include "integration/demo/demo.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace sluice::integration::demo {
namespace {

/// The stand-in for `sluice`; tests run in the root of the tree.
constexpr const char* kFakeDaemon = "tests/unit/demo/fake_daemon.py";

/// Processes that run the stand-in.
std::size_t running_daemons() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    std::string words;
    std::getline(file, words);
    if (words.find(std::string("sluice-demo-test-") + std::to_string(getpid())) != std::string::npos) ++count;
  }
  return count;
}

class Demo : public testing::Test {
 protected:
  void SetUp() override {
    // A copy whose name tells this test's processes from those of others.
    folder_ = std::filesystem::path(testing::TempDir()) / ("sluice-demo-test-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    daemon_ = (folder_ / "sluice").string();
    std::filesystem::copy_file(kFakeDaemon, daemon_, std::filesystem::copy_options::overwrite_existing);
    options_.scratch = folder_.string();  // logs of failed runs stay, in here
    options_.links = default_links(true);
    options_.emulation = "forwarder";
    options_.model = "any";  // the stand-in looks at none
    options_.json = (folder_ / "out.json").string();
    options_.report = (folder_ / "out.html").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  std::string daemon_;
  DemoOptions options_;
};

TEST_F(Demo, RunsBothDaemonsToAllReportsAndLeavesNothing) {
  ASSERT_EQ(run_demo(options_, daemon_), 0);
  std::ifstream file(options_.json);
  const nlohmann::json json = nlohmann::json::parse(file);
  EXPECT_EQ(json["engine"], "made-up");
  EXPECT_EQ(json["reuse"]["links"][0]["arms"].size(), 5U);
  EXPECT_EQ(json["hand_over"]["links"][0]["first_byte_before_prefill_end_ms"], 40.0);
  EXPECT_EQ(json["metrics"].size(), 2U);
  EXPECT_TRUE(std::filesystem::exists(options_.report));
  EXPECT_EQ(running_daemons(), 0U);
}

TEST_F(Demo, ADaemonThatDoesNotStartIsAFailureAndNotAHang) {
  EXPECT_EQ(run_demo(options_, "false"), 1);
  EXPECT_EQ(run_demo(options_, (folder_ / "missing").string()), 1);
}

TEST_F(Demo, WithoutAModelTheRecordedTextIsAskedAndNothingScored) {
  options_.model.clear();
  ASSERT_EQ(run_demo(options_, daemon_), 0);
  std::ifstream file(options_.json);
  const nlohmann::json json = nlohmann::json::parse(file);
  for (const nlohmann::json& arm : json["reuse"]["links"][0]["arms"]) EXPECT_FALSE(arm.contains("kl"));
  options_.prompt = daemon_;
  EXPECT_EQ(run_demo(options_, daemon_), 2);
}

TEST_F(Demo, WrongPromptFileIsToldBeforeAnythingStarts) {
  options_.prompt = (folder_ / "missing").string();
  EXPECT_EQ(run_demo(options_, daemon_), 1);
}

TEST_F(Demo, AnInterruptEndsEverything) {
  options_.prompt = (folder_ / "prompt").string();
  std::ofstream(options_.prompt) << "SLOW words";
  const pid_t demo = fork();
  if (demo == 0) _exit(run_demo(options_, daemon_));
  // Both daemons and the forwarder of the child: it is in the middle of its first request, or about to ask it.
  while (running_daemons() < 3 && waitpid(demo, nullptr, WNOHANG) == 0) usleep(10'000);
  kill(demo, SIGINT);
  int status = 0;
  ASSERT_EQ(waitpid(demo, &status, 0), demo);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_EQ(running_daemons(), 0U);
}

}  // namespace
}  // namespace sluice::integration::demo
