// What an index costs on average, for every entropy class and spread: how sizes are known before anything is coded.
// Values are taken for generalised Gaussians of the class's own shape, rounded as the encoder rounds (FORMAT.md section
// 5). Encoder only: nothing of it is ever sent.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "codec/coefficient_class.h"

namespace sluice::codec {

/// How an encoder rounds a base: by threshold where refinements follow, by rate and distortion where none does.
enum class BaseRounding : std::uint8_t { kThreshold = 0, kRateDistortion = 1 };

/// Threads: immutable.
class ExpectedCosts {
 public:
  ExpectedCosts();

  /// Bits of one base index of a coefficient whose sigma is 2^log2_sigma steps; 0 for the silent class.
  float base_bits(std::size_t coefficient_class, float log2_sigma, BaseRounding rounding) const;
  /// Bits of one index of refinement 1 or 2; log2_sigma in steps of the base all the same.
  float refinement_bits(std::size_t stage, std::size_t coefficient_class, float log2_sigma) const;

 private:
  /// Bits by how far sigma is from what the class was made for, in quarter octaves from -kBelow on.
  static constexpr int kBelow = 16, kAbove = 8;
  using Curve = std::array<float, kBelow + kAbove + 1>;
  static float at(const Curve& curve, float quarters);

  std::array<std::vector<Curve>, 2> base_;        ///< by rounding: [kClasses]
  std::array<std::vector<Curve>, 2> refinement_;  ///< by stage - 1: [kClasses]
};

}  // namespace sluice::codec
