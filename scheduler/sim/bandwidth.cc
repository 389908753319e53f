#include "scheduler/sim/bandwidth.h"

#include <algorithm>

#include "base/random.h"

namespace sluice::scheduler::sim {
namespace {

constexpr Duration kLongestHold{150'000'000};
constexpr Duration kShortestHold{1'000'000};
constexpr std::int64_t kHoldsPerLength = 8;
/// 1.0 in fixed point.
constexpr std::int64_t kOne = 1 << 16;

/// rate x 2^(power / 65536), the fraction between two powers taken as linear.
BitsPerSecond scaled(BitsPerSecond rate, std::int64_t power) {
  const std::int64_t whole = power >= 0 ? power / kOne : -((-power + kOne - 1) / kOne);
  const auto fraction = static_cast<std::uint64_t>(power - whole * kOne);
  const WideCount grown = static_cast<WideCount>(rate.count()) * (kOne + fraction) / kOne;
  const auto count = static_cast<std::uint64_t>(whole >= 0 ? grown << whole : grown >> -whole);
  return BitsPerSecond(std::max<std::uint64_t>(count, 1));
}

/// About normal with a deviation of 1.0 in fixed point: twelve uniform ones.
std::int64_t normal(Random& random) {
  std::int64_t sum = 0;
  for (int i = 0; i < 12; ++i) sum += static_cast<std::int64_t>(random.below(kOne));
  return sum - 6 * kOne;
}

BitsPerSecond percent(BitsPerSecond rate, std::uint64_t of) {
  return std::max(BitsPerSecond(1), BitsPerSecond(rate.count() / 100 * of));
}

/// A trace under construction: holds of one length, each with its rate.
struct Walk {
  Random random;
  Link link;
  Duration hold;
  std::int64_t holds;

  template <typename RateOf>
  void fill(RateOf rate_of) {
    for (std::int64_t i = 0; i < holds; ++i) link.phases.push_back({hold * i, rate_of(i)});
  }
};

void add_flaps(Walk& walk, BitsPerSecond mean) {
  std::int64_t left = 0;
  walk.fill([&](std::int64_t) {
    if (left == 0 && walk.random.below(8) == 0) left = 1 + static_cast<std::int64_t>(walk.random.below(2));
    if (left == 0) return mean;
    --left;
    return percent(mean, 1);
  });
}

void add_contention(Walk& walk, BitsPerSecond mean) {
  std::array<bool, 3> others{};
  walk.fill([&](std::int64_t) {
    std::uint64_t flows = 1;
    for (bool& is_there : others) {
      if (walk.random.below(4) == 0) is_there = !is_there;
      flows += is_there ? 1 : 0;
    }
    return mean / flows;
  });
}

}  // namespace

std::string_view bandwidth_name(BandwidthKind kind) {
  constexpr std::array<std::string_view, kAllBandwidthKinds.size()> kNames = {"constant",   "uniform hold", "log walk",
                                                                              "contention", "step drop",    "flap"};
  return kNames[static_cast<std::size_t>(kind)];
}

Link varying_link(BandwidthKind kind, BitsPerSecond mean, Duration length, std::uint64_t seed) {
  Walk walk{Random(seed * kAllBandwidthKinds.size() + static_cast<std::uint64_t>(kind)), Link{},
            std::clamp(length / kHoldsPerLength, kShortestHold, kLongestHold), 0};
  walk.holds = length / walk.hold + 1;
  walk.link.rtt = Duration(500'000);
  walk.link.seed = seed;
  switch (kind) {
    case BandwidthKind::kConstant:
      walk.link.phases = {{Duration(0), mean}};
      break;
    case BandwidthKind::kUniformHold:
      walk.fill([&](std::int64_t) { return percent(mean, 2 + walk.random.below(197)); });
      break;
    case BandwidthKind::kLogWalk: {
      std::int64_t power = 0;
      walk.fill([&](std::int64_t) {
        power = power * 9 / 10 + normal(walk.random) * 3 / 10;
        return scaled(mean, power);
      });
      break;
    }
    case BandwidthKind::kContention:
      add_contention(walk, mean);
      break;
    case BandwidthKind::kStepDrop: {
      const std::int64_t drop = static_cast<std::int64_t>(walk.random.below(static_cast<std::uint64_t>(walk.holds)));
      walk.fill([&](std::int64_t i) { return i < drop ? mean : percent(mean, 20); });
      break;
    }
    case BandwidthKind::kFlap:
      add_flaps(walk, mean);
      break;
  }
  return walk.link;
}

}  // namespace sluice::scheduler::sim
