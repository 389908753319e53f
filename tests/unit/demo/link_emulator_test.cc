#include "integration/demo/link_emulator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace sluice::integration::demo {
namespace {

std::size_t own_namespaces() {
  std::size_t count = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", ignored)) {
    if (entry.path().filename().string().starts_with("sluice-demo-" + std::to_string(getpid()))) ++count;
  }
  return count;
}

TEST(LinkEmulator, NamespacesAreShapedAndGoneAfterwards) {
  const Result<std::unique_ptr<LinkEmulator>> link = open_link({.kind = "namespaces", .folder = testing::TempDir()});
  if (!link) GTEST_SKIP() << "needs root, iproute2 and a kernel with tbf";
  EXPECT_EQ(own_namespaces(), 2U);
  for (const std::uint64_t rate : {10'000'000ULL, 0ULL, 1'000'000'000ULL}) {
    EXPECT_TRUE((*link)->shape(BitsPerSecond(rate))) << rate;
  }
  EXPECT_NE((*link)->prefill().admin_listen, (*link)->decode().admin_listen);
  EXPECT_EQ((*link)->prefill_over_link(), (*link)->prefill().data_listen);
}

TEST(LinkEmulator, LeavesNoNamespaceBehind) { EXPECT_EQ(own_namespaces(), 0U); }

TEST(LinkEmulator, ForwarderIsSaidToBeOne) {
  const Result<std::unique_ptr<LinkEmulator>> link = open_link(
      {.kind = "forwarder", .rtt = std::chrono::milliseconds(20), .folder = testing::TempDir(), .self = "true"});
  ASSERT_TRUE(link);
  EXPECT_NE((*link)->description().find("forwarder"), std::string::npos);
  EXPECT_NE((*link)->description().find("RTT 20 ms"), std::string::npos);
  EXPECT_NE((*link)->prefill_over_link(), (*link)->prefill().data_listen);
}

TEST(LinkEmulator, RefusesAnotherKind) {
  EXPECT_EQ(open_link({.kind = "pigeon"}).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice::integration::demo
