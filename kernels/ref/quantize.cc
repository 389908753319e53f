// Scalar quantiser and symbol folding. Straight loops over one column, no branches inside.
#include "kernels/quantize.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>

#include "base/assert.h"
#include "kernels/ref/kernels.h"

namespace sluice::kernels::ref {
namespace {

using Lanes = std::array<float, kMomentLanes>;

float total(Lanes lanes) {
  for (std::size_t half = kMomentLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

template <typename Term>
float sum_of(std::span<const float> column, Term term) {
  Lanes lanes{};
  std::size_t i = 0;
  for (; i + kMomentLanes <= column.size(); i += kMomentLanes) {
    for (std::size_t lane = 0; lane < kMomentLanes; ++lane) lanes[lane] += term(column[i + lane]);
  }
  for (std::size_t lane = 0; i + lane < column.size(); ++lane) lanes[lane] += term(column[i + lane]);
  return total(lanes);
}

// On the bits of magnitudes, which order like the magnitudes: comparisons of floats would keep loops scalar.
constexpr std::int32_t kLimit = std::bit_cast<std::int32_t>(static_cast<float>(kLargestIndex));
constexpr std::int32_t kMagnitude = 0x7FFFFFFF;

// Index of the last stage, without sign.
std::int32_t last_magnitude(std::int32_t bits) {
  constexpr std::int32_t kZero = std::bit_cast<std::int32_t>(kZeroThreshold);
  constexpr std::int32_t kOne = std::bit_cast<std::int32_t>(kOneThreshold);
  const std::int32_t magnitude = std::min(bits & kMagnitude, kLimit);
  const std::int32_t rounded = static_cast<std::int32_t>(std::bit_cast<float>(magnitude) + 0.5F);
  const std::int32_t most = magnitude < kOne ? 1 : kLargestIndex;
  return std::min(rounded, most) & ~((magnitude - kZero) >> 31);
}

float largest_magnitude(std::span<const float> column, float mean) {
  std::int32_t largest = 0;
  for (const float value : column) {
    largest = std::max(largest, std::bit_cast<std::int32_t>(value - mean) & kMagnitude);
  }
  return std::bit_cast<float>(largest);
}

bool all_finite(std::span<const float> column) {
  std::uint32_t worst = 0;
  for (const float value : column) worst = std::max(worst, std::bit_cast<std::uint32_t>(value) & 0x7F800000U);
  return worst != 0x7F800000U;
}

}  // namespace

ColumnMoments moments(std::span<const float> column) {
  ColumnMoments result;
  result.finite = all_finite(column);
  if (!result.finite || column.empty()) return result;
  const float share = 1.0F / static_cast<float>(column.size());
  const float origin = column[0];  // large means would cost the sums their digits
  result.mean = origin + share * sum_of(column, [origin](float x) { return x - origin; });
  const float mean = result.mean;
  result.variance = share * sum_of(column, [mean](float x) { return (x - mean) * (x - mean); });
  result.mean_magnitude = share * sum_of(column, [mean](float x) { return std::fabs(x - mean); });
  std::uint32_t largest = 0;
  for (const float value : column)
    largest = std::max(largest, std::bit_cast<std::uint32_t>(value - mean) & 0x7FFFFFFFU);
  result.max_magnitude = std::bit_cast<float>(largest);
  return result;
}

float quantize(std::span<const float> column, QuantizeScale by, const NestedColumns& out) {
  const std::size_t size = column.size();
  SLUICE_ASSERT(out.base.size() == size && out.middle.size() == size && out.last.size() == size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::int32_t bits = std::bit_cast<std::int32_t>((column[i] - by.mean) * by.scale);
    const std::int32_t last = last_magnitude(bits);
    const std::int32_t sign = bits >> 31;
    const auto put = [sign](std::int32_t index) { return static_cast<std::int16_t>((index ^ sign) - sign); };
    out.base[i] = put(coarser_magnitude(last, 9));
    out.middle[i] = put(coarser_magnitude(last, 3));
    out.last[i] = put(last);
  }
  return largest_magnitude(column, by.mean);
}

float quantize_priced(std::span<const float> column, const PricedScale& by, std::span<std::int16_t> out) {
  SLUICE_ASSERT(out.size() == column.size() && by.prices.size() == std::size_t{kPricedIndices});
  for (std::size_t i = 0; i < column.size(); ++i) {
    const std::int32_t bits = std::bit_cast<std::int32_t>(column[i] * by.scale);
    const float x = std::bit_cast<float>(std::min(bits & kMagnitude, kLimit));
    const std::int32_t nearest = static_cast<std::int32_t>(x + 0.5F);
    std::int32_t best = nearest;
    if (nearest != 0 && nearest < kPricedIndices) {
      const auto cost = [&](std::int32_t n) {
        const float error = x - static_cast<float>(n);
        return error * error + by.prices[static_cast<std::size_t>(n)];
      };
      float least = cost(nearest);
      for (const std::int32_t candidate : {nearest - 1, 0}) {
        const float price = cost(candidate);
        if (price >= least) continue;
        least = price;
        best = candidate;
      }
    }
    out[i] = static_cast<std::int16_t>(bits < 0 ? -best : best);
  }
  return largest_magnitude(column, 0);
}

void dequantize(std::span<const std::int16_t> indices, DequantizeScale by, std::span<float> out) {
  SLUICE_ASSERT(out.size() == indices.size());
  for (std::size_t i = 0; i < indices.size(); ++i) out[i] = static_cast<float>(indices[i]) * by.step + by.mean;
}

std::size_t fold(std::span<const std::int16_t> indices, std::uint32_t largest, std::span<std::uint8_t> symbols) {
  SLUICE_ASSERT(symbols.size() == indices.size() && largest < kRansMaxSymbols / 2);
  const std::int32_t escape = static_cast<std::int32_t>(2 * largest + 1);
  std::int32_t escapes = 0;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const std::int32_t index = indices[i];
    const std::int32_t folded = 2 * std::abs(index) - (index > 0 ? 1 : 0);
    symbols[i] = static_cast<std::uint8_t>(std::min(folded, escape));
    escapes += folded >= escape ? 1 : 0;
  }
  return static_cast<std::size_t>(escapes);
}

std::size_t unfold(std::span<const std::uint8_t> symbols, std::uint32_t largest, std::span<std::int16_t> indices) {
  SLUICE_ASSERT(symbols.size() == indices.size());
  const std::int32_t escape = static_cast<std::int32_t>(2 * largest + 1);
  std::int32_t escapes = 0;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const std::int32_t symbol = symbols[i];
    const std::int32_t magnitude = (symbol + 1) >> 1;
    const std::int32_t index = (symbol & 1) != 0 ? magnitude : -magnitude;
    indices[i] = static_cast<std::int16_t>(symbol == escape ? 0 : index);
    escapes += symbol == escape ? 1 : 0;
  }
  return static_cast<std::size_t>(escapes);
}

void fold_refinement(std::span<const std::int16_t> coarse, std::span<const std::int16_t> fine,
                     std::span<std::uint8_t> symbols, std::span<std::uint8_t> contexts) {
  SLUICE_ASSERT(coarse.size() == fine.size() && coarse.size() == symbols.size() && coarse.size() == contexts.size());
  for (std::size_t i = 0; i < coarse.size(); ++i) {
    const std::int32_t n = coarse[i];
    const std::int32_t difference = fine[i] - 3 * n;
    const std::int32_t symbol = (n < 0 ? -difference : difference) + 1;
    symbols[i] = static_cast<std::uint8_t>(std::clamp(symbol, 0, 3));
    contexts[i] = static_cast<std::uint8_t>(std::min(std::abs(n), 3));
  }
}

void context(std::span<const std::int16_t> coarse, std::span<std::uint8_t> contexts) {
  SLUICE_ASSERT(coarse.size() == contexts.size());
  for (std::size_t i = 0; i < coarse.size(); ++i) {
    contexts[i] = static_cast<std::uint8_t>(std::min(std::abs(static_cast<std::int32_t>(coarse[i])), 3));
  }
}

void refine(std::span<const std::uint8_t> symbols, std::span<std::int16_t> indices) {
  SLUICE_ASSERT(symbols.size() == indices.size());
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const std::int32_t n = indices[i];
    const std::int32_t difference = static_cast<std::int32_t>(symbols[i]) - 1;
    const std::int32_t fine = 3 * n + (n < 0 ? -difference : difference);
    indices[i] = static_cast<std::int16_t>(std::clamp(fine, -kLargestIndex, kLargestIndex));
  }
}

void add_feature(std::span<const float> column, const Feature& feature, std::span<float> sums) {
  SLUICE_ASSERT(column.size() == sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const float c = std::clamp(column[i] * feature.scale, -feature.clip, feature.clip);
    sums[i] += feature.weight * c + feature.magnitude_weight * std::fabs(c);
  }
}

}  // namespace sluice::kernels::ref
