#include "base/clock.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Instant, AdditionSaturatesAtNever) {
  EXPECT_EQ(Instant::never() + Duration(1), Instant::never());
  EXPECT_EQ(Instant(Duration(5)) + Duration::max(), Instant::never());
  EXPECT_EQ(Instant(Duration(5)) + Duration(-3), Instant(Duration(2)));
}

TEST(ManualClock, MovesOnlyByHand) {
  ManualClock clock;
  const Instant start = clock.now();
  EXPECT_EQ(clock.now(), start);
  clock.advance(Duration(7));
  EXPECT_EQ(clock.now() - start, Duration(7));
}

TEST(MonotonicClock, NeverGoesBack) {
  const MonotonicClock clock;
  Instant last = clock.now();
  for (int round = 0; round < 1000; ++round) {
    const Instant next = clock.now();
    EXPECT_GE(next, last);
    last = next;
  }
}

}  // namespace
}  // namespace sluice
