#include "metrics/histogram.h"

#include <algorithm>
#include <array>

namespace sluice::metrics {
namespace {

constexpr std::array<double, 19> doubling_from(double first) {
  std::array<double, 19> bounds{};
  for (double& bound : bounds) {
    bound = first;
    first *= 2;
  }
  return bounds;
}

constexpr auto kSecondsBounds = doubling_from(1e-4);
constexpr std::array kSlackBounds = {-10.0, -3.0, -1.0, -0.3, -0.1, -0.03, -0.01, 0.0,
                                     0.01,  0.03, 0.1,  0.3,  1.0,  3.0,   10.0,  30.0};
constexpr std::array kRatioBounds = {0.25, 0.5, 0.67, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 4.0};

}  // namespace

Histogram::Histogram(std::span<const double> upper_bounds)
    : upper_bounds_(upper_bounds.begin(), upper_bounds.end()), counts_(upper_bounds.size() + 1) {}

void Histogram::observe(double value) {
  const auto bound = std::lower_bound(upper_bounds_.begin(), upper_bounds_.end(), value);
  ++counts_[static_cast<std::size_t>(bound - upper_bounds_.begin())];
  ++total_;
  sum_ += value;
}

std::span<const double> seconds_bounds() { return kSecondsBounds; }
std::span<const double> slack_bounds() { return kSlackBounds; }
std::span<const double> ratio_bounds() { return kRatioBounds; }

}  // namespace sluice::metrics
