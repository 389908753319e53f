// Laws of the circuit breaker, over seeded histories in virtual time: whatever happens, waits stay within their bounds,
// an open circuit admits nothing, a half open one admits one at a time, and one success ends it all.
#include "transport/circuit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"

namespace sluice::transport {
namespace {

constexpr CircuitOptions kOptions{std::chrono::milliseconds(100), std::chrono::seconds(3), 4, std::chrono::seconds(1)};

Duration whole_wait(std::uint32_t failures) {
  Duration wait = kOptions.first_wait;
  for (std::uint32_t doubled = 1; doubled < failures; ++doubled) wait = std::min(wait * 2, kOptions.longest_wait);
  return std::min(wait, kOptions.longest_wait);
}

/// A circuit and what it must be, kept in the plainest way.
struct Told {
  Circuit circuit;
  std::uint32_t failures = 0;
  Instant now{};

  void check() const {
    EXPECT_EQ(circuit.failures(), failures);
    EXPECT_EQ(circuit.state(now) == CircuitState::kClosed, failures < kOptions.failures_to_open);
    if (circuit.state(now) != CircuitState::kClosed) {
      EXPECT_EQ(circuit.state(now) == CircuitState::kOpen, now < circuit.connect_at());
    }
  }

  void fail() {
    ++failures;
    EXPECT_EQ(circuit.failed(now), failures == kOptions.failures_to_open);
    const Duration wait = circuit.connect_at() - now;
    EXPECT_LE(wait, whole_wait(failures));
    EXPECT_GE(wait, whole_wait(failures) / 2);
  }
};

class CircuitHistory : public testing::TestWithParam<std::uint64_t> {};

TEST_P(CircuitHistory, KeepsItsLaws) {
  Random random(GetParam());
  Told told{Circuit(kOptions, GetParam())};
  Instant last_trial = Instant();
  bool has_trial = false;
  for (int step = 0; step < 2000; ++step) {
    told.now = told.now + std::chrono::milliseconds(random.below(700));
    switch (random.below(4)) {
      case 0:
        told.fail();
        has_trial = false;
        break;
      case 1:
        if (random.below(4) > 0) break;
        told.circuit.succeeded();
        told.failures = 0;
        has_trial = false;
        break;
      default: {
        const CircuitState before = told.circuit.state(told.now);
        const bool admitted = told.circuit.admit(told.now);
        if (before != CircuitState::kHalfOpen) {
          EXPECT_EQ(admitted, before == CircuitState::kClosed);
        } else {
          EXPECT_EQ(admitted, !has_trial || told.now - last_trial >= kOptions.trial);
          if (admitted) last_trial = told.now;
          has_trial = true;
        }
      }
    }
    told.check();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, CircuitHistory, testing::Range<std::uint64_t>(1, 65));

TEST(Circuit, NodesThatFailTogetherComeBackApart) {
  std::set<Duration> waits;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    Circuit circuit(kOptions, seed);
    circuit.failed(Instant());
    waits.insert(circuit.connect_at() - Instant());
  }
  EXPECT_GE(waits.size(), 60U);
}

TEST(Circuit, TriesOfADeadPeerAreFewInAnHour) {
  Circuit circuit({}, 7);
  Instant now;
  const Instant end = now + std::chrono::hours(1);
  int tries = 0;
  for (; now < end; now = circuit.connect_at(), ++tries) circuit.failed(now);
  EXPECT_LE(tries, 3600 / 5 + 10);
  EXPECT_GE(tries, 3600 / 10);
}

}  // namespace
}  // namespace sluice::transport
