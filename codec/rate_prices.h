// Rate-distortion rounding of a base that has no refinements: of the nearest index, the next one towards zero, and
// zero, the one of least squared error + lambda x bits, in steps (kernels/quantize.h). Here are the prices. Encoder
// only: decoders see nothing but indices.
// Source: CODEC measurements named in FORMAT.md section 5 (7 % fewer bits at equal damage than plain rounding).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace sluice::codec {

/// Threads: immutable.
class RatePrices {
 public:
  static constexpr float kTradeOff = 0.05F;  ///< squared steps a bit

  RatePrices();

  /// [kernels::kPricedIndices] of indices that `coefficient_class` codes.  Precondition: it is below kCodedClasses.
  std::span<const float> of(std::size_t coefficient_class) const;

 private:
  std::vector<float> prices_;  ///< [classes][kPricedIndices] lambda x bits of an index's magnitude
};

}  // namespace sluice::codec
