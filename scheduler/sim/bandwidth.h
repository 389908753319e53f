// Links whose rate changes over time, from a kind, a mean and a seed: what E1 to E3 run on.
// Invariant: integers and one generator, so that a seed gives the same link on every machine.
#pragma once

#include <array>
#include <string_view>

#include "scheduler/sim/link.h"

namespace sluice::scheduler::sim {

/// kUniformHold: every 150 ms another rate, uniform between 2 and 198 % of the mean (0.1 to 10 Gbit/s around 5).
/// kLogWalk: the logarithm is an autoregression of order 1 (0.9), about a factor of 1.6 either way.
/// kContention: up to three other flows come and go and share the link equally.
/// kStepDrop: a fifth of the rate from some moment on.  kFlap: for 50 to 250 ms at a time, a hundredth of the rate.
enum class BandwidthKind : std::uint8_t { kConstant, kUniformHold, kLogWalk, kContention, kStepDrop, kFlap };

inline constexpr std::array<BandwidthKind, 6> kAllBandwidthKinds = {
    BandwidthKind::kConstant,   BandwidthKind::kUniformHold, BandwidthKind::kLogWalk,
    BandwidthKind::kContention, BandwidthKind::kStepDrop,    BandwidthKind::kFlap};

/// For tables, for instance "uniform hold".  Threads: pure.
std::string_view bandwidth_name(BandwidthKind kind);

/// A link of that mean rate, or a little less where the kind takes from it, for `length` from the start of virtual
/// time; later it keeps its last rate. What happens, happens on the scale of `length` / 8, 150 ms at most. Threads:
/// pure.
Link varying_link(BandwidthKind kind, BitsPerSecond mean, Duration length, std::uint64_t seed);

}  // namespace sluice::scheduler::sim
