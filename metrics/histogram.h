// A classic cumulative histogram over fixed upper bounds. Counts are integers; the sum is the only floating point, and
// nothing decides by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice::metrics {

/// Threads: one at a time (its owner locks).
class Histogram {
 public:
  /// `upper_bounds` ascending; one bucket without bound is added after the last.
  explicit Histogram(std::span<const double> upper_bounds);

  void observe(double value);

  std::span<const double> upper_bounds() const { return upper_bounds_; }
  /// One count per bound and one for what lies above all: not cumulative.
  std::span<const std::uint64_t> counts() const { return counts_; }
  std::uint64_t total() const { return total_; }
  double sum() const { return sum_; }

 private:
  std::vector<double> upper_bounds_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t total_ = 0;
  double sum_ = 0;
};

/// 19 bounds from 100 microseconds to 26 seconds, each twice the one before.
std::span<const double> seconds_bounds();
/// Slack has a sign: negative is late.
std::span<const double> slack_bounds();
/// Ratio of predicted to actual, dense around 1.
std::span<const double> ratio_bounds();

}  // namespace sluice::metrics
