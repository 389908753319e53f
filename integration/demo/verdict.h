// What the foundation promises of the demo, judged on what a run measured: ratios per link, and for each promise
// whether it holds. A promise about links that were not run is not judged.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "integration/demo/results.h"

namespace sluice::integration::demo {

/// Ratios of one scene on one link; empty where an arm is missing.
struct LinkRatios {
  std::optional<double> raw_over_sluice;
  std::optional<double> recompute_over_sluice;
  std::optional<double> sluice_over_raw;
  /// 1 when Sluice met the deadline that raw missed, 0 when it did not; empty where raw met it.
  std::optional<double> met_where_raw_misses;
  /// How long before the end of prefill the first part was sent, in milliseconds; hand-over with Sluice.
  std::optional<double> first_byte_before_prefill_end_ms;
  /// Time to first token after the end of prefill, in milliseconds; hand-over with raw.
  std::optional<double> raw_after_prefill_ms;
};

/// Threads: pure.
LinkRatios ratios_of(const LinkResult& link);

/// One promise, judged.
struct Verdict {
  std::string claim;  ///< id in docs/claims.toml
  std::string sentence;
  std::string figure;  ///< the worst value, with its link
  bool holds = false;
};

/// The promises that this run can judge; none of them with a recorded engine.  Threads: pure.
std::vector<Verdict> judge(const DemoResults& results);

/// Links on which the gain over raw is promised: up to this rate.
inline constexpr BitsPerSecond kSlowLink(50'000'000);

}  // namespace sluice::integration::demo
