// Whether a deadline can be promised with a stated probability: a cautious forecast, stretched by a margin that follows
// what became of earlier promises, so that in the long run as many are kept as was said, whatever the link does.
// Source: adaptive conformal inference (Gibbs and Candes, 2021), here on the forecast's length.
// Place in the flow: planner, when a request's size is first known, and when it ends.
// Invariant: integers; the same promises from the same history.
#pragma once

#include <cstdint>

#include "base/quantity.h"

namespace sluice::scheduler {

/// Threads: as its owner.
class Admission {
 public:
  /// `probability`: how many of a million promises are to be kept; below a million.
  explicit Admission(PartsPerMillion probability) : probability_(probability) {}

  /// The forecast with its margin; saturates.
  Duration stretched(Duration forecast) const;
  /// What became of a promise. A broken one widens the margin by as much as many kept ones narrow it.
  void on_end(bool was_kept);

  std::uint64_t promised() const { return promised_; }
  std::uint64_t kept() const { return kept_; }

 private:
  /// Of the forecast; starts at a tenth, may fall below nothing.
  static constexpr std::int64_t kFirstMargin = 100'000;
  static constexpr std::int64_t kSmallestMargin = -500'000;
  static constexpr std::int64_t kLargestMargin = 9'000'000;
  /// How far a promise that was certain and broken widens it.
  static constexpr std::int64_t kStep = 100'000;

  PartsPerMillion probability_;
  std::int64_t margin_ = kFirstMargin;
  std::uint64_t promised_ = 0;
  std::uint64_t kept_ = 0;
};

}  // namespace sluice::scheduler
