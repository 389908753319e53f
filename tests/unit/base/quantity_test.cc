#include "base/quantity.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice {
namespace {

TEST(Quantity, SumThenDifferenceGivesBack) {
  std::mt19937_64 random(0x51u);
  for (int round = 0; round < 10'000; ++round) {
    const Bytes left(random() >> 1);
    const Bytes right(random() >> 1);
    EXPECT_EQ(left + right - right, left);
  }
}

TEST(QuantityDeathTest, WrapStopsTheProgram) {
  EXPECT_DEATH((void)(Bytes(1) - Bytes(2)), "broken invariant");
  EXPECT_DEATH((void)(Bytes::max() + Bytes(1)), "broken invariant");
  EXPECT_DEATH((void)(Bytes::max() * 2), "broken invariant");
  EXPECT_DEATH((void)(Bytes(1) / Bytes(0)), "broken invariant");
}

TEST(TimeToSend, RoundsUpAndInvertsSentWithin) {
  EXPECT_EQ(time_to_send(Bytes(0), BitsPerSecond(1)), Duration(0));
  EXPECT_EQ(time_to_send(Bytes(1), BitsPerSecond(8)), std::chrono::seconds(1));
  EXPECT_EQ(time_to_send(Bytes(1), BitsPerSecond(3)), Duration(2'666'666'667));
  EXPECT_EQ(time_to_send(Bytes::max(), BitsPerSecond(1)), Duration::max());
  std::mt19937_64 random(0x52u);
  for (int round = 0; round < 10'000; ++round) {
    const Bytes size(random() % (1ULL << 40));
    const BitsPerSecond rate(1 + random() % 400'000'000'000ULL);
    const Duration span = time_to_send(size, rate);
    EXPECT_GE(sent_within(span, rate), size);
    if (span.count() > 0) {
      EXPECT_LT(sent_within(span - Duration(1), rate), size + Bytes(1));
    }
  }
}

TEST(SentWithin, NothingInNoTime) {
  EXPECT_EQ(sent_within(Duration(0), BitsPerSecond(1'000)), Bytes(0));
  EXPECT_EQ(sent_within(Duration(-5), BitsPerSecond(1'000)), Bytes(0));
  EXPECT_EQ(sent_within(Duration::max(), BitsPerSecond::max()), Bytes::max());
}

TEST(RateOf, IsZeroWithoutTimeAndExactWithIt) {
  EXPECT_EQ(rate_of(Bytes(1), Duration(0)), BitsPerSecond(0));
  EXPECT_EQ(rate_of(Bytes(125), std::chrono::microseconds(1)), BitsPerSecond(1'000'000'000));
}

}  // namespace
}  // namespace sluice
