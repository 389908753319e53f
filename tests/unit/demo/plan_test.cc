#include "integration/demo/plan.h"

#include <gtest/gtest.h>

namespace sluice::integration::demo {
namespace {

TEST(Rate, IsReadWithAnyUnitAndWrittenBack) {
  for (const auto& [text, bits] : {std::pair<const char*, std::uint64_t>{"10Mbit", 10'000'000},
                                   {"1Gbit/s", 1'000'000'000},
                                   {"64kbit", 64'000},
                                   {"50 Mbit/s", 50'000'000},
                                   {"1000bit", 1'000}}) {
    const Result<BitsPerSecond> rate = parse_rate(text);
    ASSERT_TRUE(rate) << text;
    EXPECT_EQ(rate->count(), bits);
    const Result<BitsPerSecond> again = parse_rate(rate_name(*rate));
    ASSERT_TRUE(again) << rate_name(*rate);
    EXPECT_EQ(*again, *rate);
  }
}

TEST(Rate, RefusesWhatIsNone) {
  for (const char* text :
       {"", "Mbit", "0Mbit", "-1Mbit", "10", "10MB", "10 Mbits", "99999999999999999999bit", "2000Gbit"}) {
    EXPECT_FALSE(parse_rate(text)) << text;
  }
}

TEST(Deadline, OfReuseLiesBetweenAtOnceAndRecompute) {
  const Bytes raw(34'560'000);
  for (const std::uint64_t megabits : {1, 10, 50, 200, 1000, 100'000}) {
    const Duration recompute = std::chrono::seconds(6);
    const Duration deadline = stated_deadline({Scene::kReuse, BitsPerSecond(megabits * 1'000'000), raw, recompute});
    EXPECT_GE(deadline, std::chrono::milliseconds(500));
    EXPECT_LE(deadline, recompute * 9 / 10);
  }
  EXPECT_EQ(stated_deadline({Scene::kReuse, BitsPerSecond(50'000'000), raw, std::chrono::seconds(6)}),
            time_to_send(raw, BitsPerSecond(50'000'000)) * 2 / 5);
}

TEST(Deadline, OfAHandOverLeavesRoomForThePrefill) {
  const Duration recompute = std::chrono::seconds(3);
  EXPECT_GT(stated_deadline({Scene::kHandOver, BitsPerSecond(1'000'000'000), Bytes(16'000'000), recompute}), recompute);
}

}  // namespace
}  // namespace sluice::integration::demo
