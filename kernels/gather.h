// Rows out of an engine's pages: as they are, or widened to fp32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/shape.h"

namespace sluice::kernels {

/// Tokens [first, first + count) of a plane.
struct TokenRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

/// Copies rows without change.
/// Shape:   out = [count][kv_heads][head_dim] of shape.dtype, contiguous
/// Aliasing: none.  Threads: pure.
using CopyRowsFn = void(const PlaneView& plane, const KvShape& shape, TokenRange range, std::span<std::byte> out);

/// Widens rows to fp32.
/// Shape:   out = [count][kv_heads * head_dim]
/// Exact:   every value; NaNs of F16 and E5M2 come out quiet with their payload
/// Aliasing: none.  Threads: pure.
using GatherFn = void(const PlaneView& plane, const KvShape& shape, TokenRange range, std::span<float> out);

}  // namespace sluice::kernels
