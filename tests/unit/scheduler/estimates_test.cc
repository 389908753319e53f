#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "scheduler/admission.h"
#include "scheduler/cost.h"
#include "scheduler/estimator.h"
#include "scheduler/in_flight.h"
#include "scheduler/policy.h"

namespace sluice::scheduler {
namespace {

constexpr PartsPerMillion kMedian{500'000};
constexpr Duration kMillisecond{1'000'000};

LinkEstimator estimator() { return LinkEstimator({BitsPerSecond(1'000'000'000), kMillisecond}); }

TEST(LinkEstimator, IsNominalBeforeAnySample) {
  LinkEstimator link = estimator();
  EXPECT_FALSE(link.has_measured());
  EXPECT_EQ(link.rate(kMedian, Instant()), BitsPerSecond(1'000'000'000));
  link.on_delivery(Bytes(1), Duration(0), Instant());
  link.on_delivery(Bytes(0), Duration(10), Instant());
  link.on_delivery(Bytes(10), Duration(-5), Instant());
  EXPECT_FALSE(link.has_measured());
}

TEST(LinkEstimator, AConstantRateIsFoundExactly) {
  for (std::uint64_t rate = 1'000; rate <= 400'000'000'000; rate *= 7) {
    LinkEstimator link = estimator();
    Instant now;
    for (int i = 0; i < 20; ++i) {
      now = now + 16 * kMillisecond;
      link.on_delivery(sent_within(16 * kMillisecond, BitsPerSecond(rate)), 16 * kMillisecond, now);
    }
    const double found = static_cast<double>(link.rate(kMedian, now).count());
    EXPECT_NEAR(found / static_cast<double>(rate), 1, rate < 100'000 ? 0.3 : 0.001) << rate;
  }
}

TEST(LinkEstimator, QuantilesAreOrderedAndStayWithinWhatWasSeen) {
  LinkEstimator link = estimator();
  Instant now;
  for (std::uint64_t i = 1; i <= 50; ++i) {
    now = now + 10 * kMillisecond;
    link.on_delivery(Bytes(20'000 * (1 + i % 10)), 10 * kMillisecond, now);
  }
  BitsPerSecond before(0);
  for (std::uint64_t quantile = 0; quantile <= 1'000'000; quantile += 50'000) {
    const BitsPerSecond rate = link.rate(PartsPerMillion(quantile), now);
    EXPECT_GE(rate, before);
    EXPECT_GE(rate, BitsPerSecond(15'000'000));
    EXPECT_LE(rate, BitsPerSecond(165'000'000));
    before = rate;
  }
}

TEST(LinkEstimator, FollowsADropWithinASecond) {
  LinkEstimator link = estimator();
  Instant now;
  const auto feed = [&](std::uint64_t rate, int count) {
    for (int i = 0; i < count; ++i) {
      now = now + 20 * kMillisecond;
      link.on_delivery(sent_within(20 * kMillisecond, BitsPerSecond(rate)), 20 * kMillisecond, now);
    }
  };
  feed(1'000'000'000, 500);
  feed(10'000'000, 50);
  EXPECT_LE(link.rate(kMedian, now), BitsPerSecond(11'000'000));
}

TEST(LinkEstimator, LongSilenceIsAQuarterOfNominalAtMost) {
  LinkEstimator link = estimator();
  Instant now(10 * kMillisecond);
  link.on_delivery(Bytes(100'000'000), 10 * kMillisecond, now);
  EXPECT_GT(link.rate(kMedian, now), BitsPerSecond(1'000'000'000));
  now = now + Duration(40'000'000'000);
  EXPECT_EQ(link.rate(kMedian, now), BitsPerSecond(250'000'000));
}

TEST(LinkEstimator, RttIsTheSmallestOfRecentOnes) {
  LinkEstimator link = estimator();
  link.on_rtt(50 * kMillisecond, Instant());
  EXPECT_EQ(link.rtt(), 50 * kMillisecond);
  link.on_rtt(20 * kMillisecond, Instant(kMillisecond));
  link.on_rtt(90 * kMillisecond, Instant(2 * kMillisecond));
  link.on_rtt(-kMillisecond, Instant(3 * kMillisecond));
  EXPECT_EQ(link.rtt(), 20 * kMillisecond);
  link.on_rtt(90 * kMillisecond, Instant(20'000 * kMillisecond));
  EXPECT_EQ(link.rtt(), 90 * kMillisecond);
}

TEST(InFlight, IdleTimeIsNotCountedAsTransfer) {
  InFlight flying;
  const UnitKey unit{RequestId(1), ChunkIndex(0), LayerGroupIndex(0)};
  flying.grant({unit, Part::kBase, Bytes(1000), Duration(0), Instant(100 * kMillisecond)});
  const auto delivery = flying.arrive(unit, Part::kBase, 10 * kMillisecond, Instant(130 * kMillisecond));
  ASSERT_TRUE(delivery.has_value());
  EXPECT_EQ(delivery->span, 20 * kMillisecond);
  EXPECT_EQ(flying.bytes(), Bytes(0));
  EXPECT_FALSE(flying.arrive(unit, Part::kBase, Duration(0), Instant(131 * kMillisecond)).has_value());
}

TEST(Admission, KeepsAsManyAsWasSaidWhateverIsForecast) {
  // What really comes is up to three times what was forecast; a deadline is promised where the margin allows.
  Admission admission(PartsPerMillion(990'000));
  Random random(3);
  for (int i = 0; i < 40'000; ++i) {
    const Duration forecast(1'000'000 + static_cast<std::int64_t>(random.below(1'000'000)));
    const Duration truth = forecast / 2 + forecast * static_cast<std::int64_t>(random.below(250)) / 100;
    const Duration slack(static_cast<std::int64_t>(random.below(10'000'000)));
    if (admission.stretched(forecast) <= slack) admission.on_end(truth <= slack);
  }
  EXPECT_GT(admission.promised(), 10'000U);
  EXPECT_NEAR(static_cast<double>(admission.kept()) / static_cast<double>(admission.promised()), 0.99, 0.003);
}

TEST(Cost, PrefillIsLinearPlusPairsAndSaturates) {
  const PrefillCost cost{Duration(7), 3000, 500};
  EXPECT_EQ(prefill_time(cost, Tokens(0)), Duration(7));
  EXPECT_EQ(prefill_time(cost, Tokens(1)), Duration(10));
  EXPECT_EQ(prefill_time(cost, Tokens(4)), Duration(7 + 12 + 3));
  const PrefillCost endless{Duration(0), ~std::uint64_t{0}, ~std::uint64_t{0}};
  EXPECT_EQ(prefill_time(endless, Tokens::max()), Duration::max());
}

TEST(Reason, EveryReasonHasItsOwnNameAndItsRangeIsPinned) {
  std::set<std::string_view> names;
  for (int number = 0; number < 256; ++number) {
    const auto reason = static_cast<Reason>(number);
    EXPECT_FALSE(reason_explanation(reason).empty());
    if (reason_name(reason) == "unknown") continue;
    EXPECT_TRUE(names.insert(reason_name(reason)).second);
  }
  EXPECT_EQ(names.size(), all_reasons().size());
  EXPECT_EQ(static_cast<int>(Reason::kBaseFirst), 1);
  EXPECT_EQ(static_cast<int>(Reason::kDeadlineInfeasible), 20);
  EXPECT_EQ(static_cast<int>(Reason::kTargetReached), 40);
  EXPECT_EQ(static_cast<int>(Reason::kRawNear), 45);
}

TEST(MakePolicy, KnowsItsNamesAndRefusesOthers) {
  for (const char* name :
       {"sluice", "cachegen", "cachegen-artifact", "kvserve", "cake", "lynx", "hicache", "raw", "raw-fifo", "raw-fair",
        "raw-drop", "lossless", "int8", "fp8", "everything", "recompute", "fixed:base+r1+r2"}) {
    const auto policy = make_policy(name, PolicyOptions{});
    ASSERT_TRUE(policy.has_value()) << name;
    EXPECT_EQ(policy.value()->name(), name);
    EXPECT_EQ(policy.value()->wake_at(), Instant::never());
  }
  for (const char* name :
       {"", "Sluice", "fixed:", "fixed:base+", "fixed:base+base", "fixed:q4", "base", "fixed:unknown"}) {
    ASSERT_FALSE(make_policy(name, PolicyOptions{}).has_value()) << name;
    EXPECT_EQ(make_policy(name, PolicyOptions{}).error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(MakePolicy, RefusesOptionsOutOfRange) {
  PolicyOptions options;
  options.decode.workers = 0;
  EXPECT_FALSE(make_policy("sluice", options).has_value());
  options = PolicyOptions{};
  options.nominal_rate = BitsPerSecond(0);
  EXPECT_FALSE(make_policy("sluice", options).has_value());
  options = PolicyOptions{};
  options.decode.rate[Part::kInt8] = BitsPerSecond(0);
  EXPECT_FALSE(make_policy("sluice", options).has_value());
}

}  // namespace
}  // namespace sluice::scheduler
