#include "codec/expected_tops.h"

#include <algorithm>
#include <cmath>

namespace sluice::codec {
namespace {

constexpr float kRatioStep = 0.25F;
constexpr float kLowestOctave = -1;
constexpr float kHighestOctave = 13;
constexpr float kSpreadStep = 0.25F;
constexpr int kMostOctaves = 20;  // a value is hardly ever larger than 2^20 times the least normal number of the grid

float least_normal_log2(kernels::DType dtype) {
  switch (dtype) {
    case kernels::DType::kF32:
    case kernels::DType::kBf16:
      return -126;
    case kernels::DType::kF16:
    case kernels::DType::kE5m2:
      return -14;
    case kernels::DType::kE4m3:
      break;
  }
  return -6;
}

double below(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// Exponents from the least normal number 1 on; `mean` and `sigma` in units of it.
float entropy(double mean, double sigma) {
  double bits = 0;
  const auto add = [&](double from, double to) {
    const double share = below((to - mean) / sigma) - below((from - mean) / sigma);
    if (share > 0) bits -= share * std::log2(share);
  };
  double from = 0;
  double to = 1;
  for (int octave = 0; octave < kMostOctaves; ++octave, from = to, to *= 2) {
    add(from, to);
    add(-to, -from);
  }
  return static_cast<float>(bits);
}

}  // namespace

ExpectedTops::ExpectedTops() {
  for (std::size_t ratio = 0; ratio < kRatios; ++ratio) {
    for (std::size_t spread = 0; spread < kSpreads; ++spread) {
      const double sigma = std::exp2(kLowestOctave + kSpreadStep * static_cast<float>(spread));
      bits_[ratio][spread] = entropy(sigma * kRatioStep * static_cast<double>(ratio), sigma);
    }
  }
}

float ExpectedTops::bits(kernels::DType dtype, float mean, float sigma) const {
  if (!(sigma > 0)) return 0;
  float octave = std::log2(sigma) - least_normal_log2(dtype);
  // Far above the least normal number only the place within an octave counts.
  if (octave > kHighestOctave) octave -= std::ceil(octave - kHighestOctave);
  const float spread = std::max(octave - kLowestOctave, 0.0F) / kSpreadStep;
  const float ratio = std::min(std::fabs(mean) / sigma / kRatioStep, static_cast<float>(kRatios - 1));
  const auto column = static_cast<std::size_t>(std::lround(spread));
  const auto row = std::min(static_cast<std::size_t>(ratio), kRatios - 2);
  const float share = ratio - static_cast<float>(row);
  return bits_[row][column] + share * (bits_[row + 1][column] - bits_[row][column]);
}

}  // namespace sluice::codec
