// Columns to integers in steps and back; nested symbols. A column is one channel of consecutive tokens.
// An index n stands for n * step; stage k has the step S / 3^k, and its index is sent as its difference to three times
// the coarser one. Values are rounded once, to steps of the last stage; coarser indices follow from that one, so that
// every cell of a stage lies in one cell of the stage before and no value has two codes.
// Source: FORMAT.md sections 4.2 and 5; the ratio and the thresholds after docs/decisions/0008.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::kernels {

/// In steps of the last stage: below the first |x| is 0, below the second 1; from there on it is rounded half up.
inline constexpr float kZeroThreshold = 0.6F;
inline constexpr float kOneThreshold = 1.65F;
inline constexpr std::int32_t kLargestIndex = 32767;
/// Largest magnitude of the last stage that is 0 at the base; a third of it, rounded, would be 2 at the stage between,
/// which lies in the base's cell 1.
inline constexpr std::int32_t kLargestBaseZero = 5;
/// Refinement symbols: difference + 1, its sign turned with the coarse index's.
inline constexpr std::uint32_t kRefinementSymbols = 4;
/// Contexts of a refinement: coarse magnitude 0, 1, 2, or larger.
inline constexpr std::uint32_t kRefinementContexts = 4;

/// Sums over one column, from which mean and spread follow.
struct ColumnMoments {
  float mean = 0;
  float variance = 0;        ///< around the mean
  float mean_magnitude = 0;  ///< of value - mean
  float max_magnitude = 0;   ///< of value - mean
  bool finite = true;        ///< false when a value is NaN or infinite; the rest is then without meaning
};
/// Sums run in this many lanes (value i in lane i mod 32), which are then added in halves: [0, 16) + [16, 32), and so
/// on. The order is fixed so that every machine rounds alike.
inline constexpr std::size_t kMomentLanes = 32;
using MomentsFn = ColumnMoments(std::span<const float> column);

/// Magnitude of the base (ratio 9) or the middle stage (ratio 3) that a magnitude of the last stage lies in.
constexpr std::int32_t coarser_magnitude(std::int32_t last, std::int32_t ratio) {
  return (last - (last == kLargestBaseZero ? 1 : 0) + ratio / 2) / ratio;
}

/// What a column is measured in.
struct QuantizeScale {
  float mean = 0;
  float scale = 1;  ///< steps of the last stage per unit of value
};
/// One column each, as long as the values.
struct NestedColumns {
  std::span<std::int16_t> base, middle, last;
};
/// (x - mean) * scale to the indices of all stages, saturated at +-kLargestIndex. Returns the largest magnitude of
/// x - mean, infinity or NaN if one is not finite; indices then mean nothing.
/// Exact: fp32 in this order of operations, no fma.  Threads: pure.
using QuantizeFn = float(std::span<const float> column, QuantizeScale by, const NestedColumns& out);

/// What an index of magnitude n < kPricedIndices costs, in squared steps; larger ones are rounded to the nearest.
inline constexpr std::int32_t kPricedIndices = 64;
struct PricedScale {
  float scale = 1;
  std::span<const float> prices;  ///< [kPricedIndices]
};
/// Of the index nearest to x * scale, the next one towards zero, and zero, the first with the least squared error plus
/// price; saturated at +-kLargestIndex. Returns the largest magnitude of x, infinity or NaN if one is not finite.
/// Exact: fp32, no fma.  Threads: pure.
using QuantizePricedFn = float(std::span<const float> column, const PricedScale& by, std::span<std::int16_t> out);

/// index * step + mean.
struct DequantizeScale {
  float mean = 0;
  float step = 1;
};
using DequantizeFn = void(std::span<const std::int16_t> indices, DequantizeScale by, std::span<float> out);

/// Index to symbol: 0, +1, -1, +2, -2 ... become 0, 1, 2, 3, 4 ...; magnitudes above `largest` become 2 * largest + 1,
/// the escape. Returns how many escaped.
using FoldFn = std::size_t(std::span<const std::int16_t> indices, std::uint32_t largest,
                           std::span<std::uint8_t> symbols);
/// Inverse; an escape becomes 0 for the caller to fill. Returns how many there are.
using UnfoldFn = std::size_t(std::span<const std::uint8_t> symbols, std::uint32_t largest,
                             std::span<std::int16_t> indices);

/// fine = 3 * coarse + difference, difference in [-1, 2] for coarse >= 0 and in [-2, 1] below, as symbols and contexts.
/// Precondition: |coarse| <= kLargestIndex / 3.
using FoldRefinementFn = void(std::span<const std::int16_t> coarse, std::span<const std::int16_t> fine,
                              std::span<std::uint8_t> symbols, std::span<std::uint8_t> contexts);
/// Contexts of a coarse column: min(|n|, 3).
using ContextFn = void(std::span<const std::int16_t> coarse, std::span<std::uint8_t> contexts);
/// Replaces coarse indices by fine ones.  Precondition: symbols below kRefinementSymbols.
using RefineFn = void(std::span<const std::uint8_t> symbols, std::span<std::int16_t> indices);

/// One column's part in a weighted sum per token: sums += weight * c + magnitude_weight * |c|, c = column * scale
/// clipped to +-clip.  Exact: fp32 in this order, no fma.  Threads: pure.
struct Feature {
  float scale = 1;
  float clip = 1;
  float weight = 0;
  float magnitude_weight = 0;
};
using AddFeatureFn = void(std::span<const float> column, const Feature& feature, std::span<float> sums);

}  // namespace sluice::kernels
