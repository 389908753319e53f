// What the top (sign and exponent) of a normally distributed value costs, for every storage format: how the size of a
// lossless frame is known before it is coded.
#pragma once

#include <array>
#include <vector>

#include "kernels/shape.h"

namespace sluice::codec {

/// Threads: immutable.
class ExpectedTops {
 public:
  ExpectedTops();

  /// Entropy of the top, in bits, of values with this mean and sigma.
  float bits(kernels::DType dtype, float mean, float sigma) const;

 private:
  static constexpr std::size_t kRatios = 25;   ///< |mean| / sigma = 0, 1/4 .. 6
  static constexpr std::size_t kSpreads = 57;  ///< sigma over the least normal number: 2^-1, 2^-3/4 .. 2^13
  /// Exponents end at the least normal number: below it all values share one.
  std::array<std::array<float, kSpreads>, kRatios> bits_{};
};

}  // namespace sluice::codec
