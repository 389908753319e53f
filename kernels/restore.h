// The end of decoding in one step: indices of a plane, or values that come out of an inverse transform, to rows in an
// engine's pages, by way of registers and the first-level cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/gather.h"
#include "kernels/quantize.h"
#include "kernels/rope.h"
#include "kernels/scatter.h"
#include "kernels/shape.h"
#include "kernels/transpose.h"

namespace sluice::kernels {

/// Entries [first, first + range.count) of the columns become rows `range` of a plane, each entry times its channel's
/// scale plus its mean.
struct RestoreRows {
  std::span<const std::int16_t> indices;  ///< [width][stride], or
  std::span<const float> values;          ///< [width][stride]
  std::uint64_t stride = 0;
  std::uint64_t first = 0;
  std::span<const float> scales;  ///< [width]
  std::span<const float> means;   ///< [width]
  const RopeSpec* rope = nullptr;
  const RopeAngles* angles = nullptr;  ///< of `stride` entries; none, or without pairs: nothing turns
  TokenRange range;
  /// [range.count] where entries are not in the order of rows: entry first + i is row range.first + row_of[i].
  std::span<const std::uint32_t> row_of;

  std::uint64_t pairs() const { return angles == nullptr ? 0 : angles->pairs; }
};

/// Tokens that are restored at once; `scratch` holds two strips of them as fp32.
inline constexpr std::uint64_t kRestoreStrip = 32;

/// Scales, turns every head by the angles, narrows and places: the steps below, in their order of roundings.
/// Aliasing: none.  Precondition: scratch.size() >= 2 * kRestoreStrip * width.  Threads: pure.
using RestoreFn = void(const RestoreRows& rows, const KvShape& shape, const MutablePlaneView& plane,
                       std::span<float> scratch);

/// What a restoration consists of.
struct RestoreSteps {
  DequantizeFn* dequantize = nullptr;
  RotateFn* rotate = nullptr;
  ToRowsFn* to_rows = nullptr;
  ScatterFn* scatter = nullptr;
};

/// Asserts the sizes of what a restoration is given.
void check_restore(const RestoreRows& rows, const KvShape& shape, std::span<const float> scratch);

/// A restoration one step after the other, strip by strip.
void restore_by_steps(const RestoreSteps& steps, const RestoreRows& rows, const KvShape& shape,
                      const MutablePlaneView& plane, std::span<float> scratch);

}  // namespace sluice::kernels
