// The start of encoding in one step: rows of an engine's pages to fp32 columns, RoPE taken off, by way of registers and
// the first-level cache. The mirror of restore.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/gather.h"
#include "kernels/rope.h"
#include "kernels/shape.h"
#include "kernels/transpose.h"

namespace sluice::kernels {

/// What becomes of rows `range` of a plane.
struct LoadColumns {
  TokenRange range;
  const RopeSpec* rope = nullptr;
  const RopeAngles* angles = nullptr;  ///< of range.count tokens; none, or without pairs: nothing turns
  /// [width] both, or both empty: a value becomes (value - mean) * weight.
  std::span<const float> means, weights;

  std::uint64_t pairs() const { return angles == nullptr ? 0 : angles->pairs; }
};

/// Tokens that are loaded at once; `scratch` holds a strip of them as fp32.
inline constexpr std::uint64_t kLoadStrip = 32;

/// Widens, turns every head back, normalises: the steps below, in their order of roundings.
/// Shape:   columns = [width][range.count]
/// Aliasing: none.  Precondition: scratch.size() >= kLoadStrip * width.  Threads: pure.
using LoadFn = void(const PlaneView& plane, const KvShape& shape, const LoadColumns& load, std::span<float> columns,
                    std::span<float> scratch);

/// What loading consists of.
struct LoadSteps {
  GatherFn* gather = nullptr;
  ToColumnsFn* to_columns = nullptr;
  RotateFn* rotate = nullptr;
};

/// Asserts the sizes of what is to be loaded.
void check_load(const KvShape& shape, const LoadColumns& load, std::span<const float> columns,
                std::span<const float> scratch);

/// Loading one step after the other.
void load_by_steps(const LoadSteps& steps, const PlaneView& plane, const KvShape& shape, const LoadColumns& load,
                   std::span<float> columns, std::span<float> scratch);

}  // namespace sluice::kernels
