// The end of decoding without a transform in one step: indices of a plane to rows in an engine's pages, by way of
// registers and the first-level cache.
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

/// Tokens [first, first + range.count) of the columns become rows `range` of a plane.
struct RestoreRows {
  std::span<const std::int16_t> indices;  ///< [width][stride]
  std::uint64_t stride = 0;
  std::uint64_t first = 0;
  std::span<const float> steps;  ///< [kv_heads]
  std::span<const float> means;  ///< [width]
  const RopeSpec* rope = nullptr;
  const RopeAngles* angles = nullptr;  ///< of `stride` tokens; none, or without pairs: nothing turns
  TokenRange range;

  std::uint64_t pairs() const { return angles == nullptr ? 0 : angles->pairs; }
};

/// Tokens that are restored at once; `scratch` holds two strips of them as fp32.
inline constexpr std::uint64_t kRestoreStrip = 32;

/// Dequantises, turns every head by the angles, narrows and places: the steps below, in their order of roundings.
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

/// A restoration one step after the other, strip by strip.
void restore_by_steps(const RestoreSteps& steps, const RestoreRows& rows, const KvShape& shape,
                      const MutablePlaneView& plane, std::span<float> scratch);

}  // namespace sluice::kernels
