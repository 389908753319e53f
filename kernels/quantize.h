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

}  // namespace sluice::kernels
