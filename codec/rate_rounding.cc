#include "codec/rate_rounding.h"

#include <cmath>

#include "base/assert.h"
#include "codec/coefficient_class.h"

namespace sluice::codec {

RateRounding::RateRounding() : penalty_(kCodedClasses * kPriced) {
  const ClassCosts costs;
  for (std::size_t i = 0; i < kCodedClasses; ++i) {
    for (std::int32_t n = 0; n < kPriced; ++n) {
      penalty_[i * kPriced + static_cast<std::size_t>(n)] = kTradeOff * costs.index_bits(i, n);
    }
  }
}

void RateRounding::round(std::span<const float> values, float scale, std::size_t coefficient_class,
                         std::span<std::int16_t> indices) const {
  SLUICE_ASSERT(values.size() == indices.size() && coefficient_class < kCodedClasses);
  const float* const penalty = penalty_.data() + coefficient_class * kPriced;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float x = std::fabs(values[i] * scale);
    std::int32_t best = static_cast<std::int32_t>(x + 0.5F);
    if (best != 0 && best < kPriced) {
      const auto cost = [&](std::int32_t n) {
        const float error = x - static_cast<float>(n);
        return error * error + penalty[n];
      };
      const std::int32_t nearest = best;
      float least = cost(nearest);
      for (const std::int32_t candidate : {nearest - 1, 0}) {
        const float price = cost(candidate);
        if (price >= least) continue;
        least = price;
        best = candidate;
      }
    }
    indices[i] = static_cast<std::int16_t>(values[i] < 0 ? -best : best);
  }
}

}  // namespace sluice::codec
