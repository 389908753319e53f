#include "codec/rate_prices.h"

#include <cstdint>

#include "base/assert.h"
#include "codec/coefficient_class.h"
#include "kernels/quantize.h"

namespace sluice::codec {

RatePrices::RatePrices() {
  const ClassCosts costs;
  prices_.reserve(kCodedClasses * kernels::kPricedIndices);
  for (std::size_t i = 0; i < kCodedClasses; ++i) {
    for (std::int32_t n = 0; n < kernels::kPricedIndices; ++n) prices_.push_back(kTradeOff * costs.index_bits(i, n));
  }
}

std::span<const float> RatePrices::of(std::size_t coefficient_class) const {
  SLUICE_ASSERT(coefficient_class < kCodedClasses);
  return std::span(prices_).subspan(coefficient_class * kernels::kPricedIndices, kernels::kPricedIndices);
}

}  // namespace sluice::codec
