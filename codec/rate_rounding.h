// Rate-distortion rounding of a base that has no refinements: of the nearest index, the next one towards zero, and
// zero, the one of least squared error + lambda x bits, in steps. Encoder only: decoders see nothing but indices.
// Source: CODEC measurements named in FORMAT.md section 5 (7 % fewer bits at equal damage than plain rounding).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice::codec {

/// Threads: immutable.
class RateRounding {
 public:
  static constexpr float kTradeOff = 0.05F;  ///< squared steps a bit
  /// Magnitudes beyond are rounded to the nearest: there one more bit changes nothing.
  static constexpr std::int32_t kPriced = 64;

  RateRounding();

  /// Indices of values * scale, coded by `coefficient_class`.
  /// Precondition: finite products; magnitudes below 32767.
  void round(std::span<const float> values, float scale, std::size_t coefficient_class,
             std::span<std::int16_t> indices) const;

 private:
  std::vector<float> penalty_;  ///< [classes][kPriced] lambda x bits of an index's magnitude
};

}  // namespace sluice::codec
