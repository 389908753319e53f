// Columns to integers in steps and back; nested symbols. A column is one channel of consecutive tokens.
// An index n stands for n * step; |n| is zero below 0.6 steps, else |x| / step rounded half up. Stage k has the step
// S / 3^k and its index is sent as its difference to three times the coarser one: in [-2, 2] by construction.
// Source: FORMAT.md section 5; the ratio and the threshold after the measurements named there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::kernels {

inline constexpr float kZeroThreshold = 0.6F;
inline constexpr std::int32_t kLargestIndex = 32767;
/// Refinement symbols: difference + 2, its sign turned with the coarse index's.
inline constexpr std::uint32_t kRefinementSymbols = 5;
/// Contexts of a refinement: coarse index 0, +-1, or larger.
inline constexpr std::uint32_t kRefinementContexts = 3;

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

/// (x - mean) * scale to an index, saturated at +-kLargestIndex.
/// Exact: fp32 in this order of operations, no fma.  Precondition: finite values.  Threads: pure.
struct QuantizeScale {
  float mean = 0;
  float scale = 1;  ///< steps per unit of value
};
using QuantizeFn = void(std::span<const float> column, QuantizeScale by, std::span<std::int16_t> out);

/// Stages of one column at once. Bit k of `silent`: stage k has no indices of its own, a base is then 0 and a finer one
/// three times the coarser.
struct StagesScale {
  float mean = 0;
  std::span<const float> scales;  ///< [stages], of the base first
  std::uint32_t silent = 0;
};
inline constexpr std::size_t kQuantizeStages = 3;

/// Stage by stage as QuantizeFn, each but the base then held within two of three times the coarser one. out[stage] =
/// column.size() indices. Returns the largest magnitude of x - mean, infinity or NaN if one is not finite.
/// Precondition: for indices that mean anything, magnitudes of at most kLargestIndex / 9 in a base of three stages,
/// and a third of kLargestIndex in one of two.  Threads: pure.
using QuantizeStagesFn = float(std::span<const float> column, const StagesScale& by,
                               std::span<std::int16_t* const> out);

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

/// fine = 3 * coarse + difference, difference in [-2, 2], as symbols and contexts.
/// Precondition: |coarse| <= kLargestIndex / 3.
using FoldRefinementFn = void(std::span<const std::int16_t> coarse, std::span<const std::int16_t> fine,
                              std::span<std::uint8_t> symbols, std::span<std::uint8_t> contexts);
/// Contexts of a coarse column: min(|n|, 2).
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
