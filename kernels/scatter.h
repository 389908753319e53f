// Rows into an engine's pages: as they are, or rounded from fp32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/gather.h"
#include "kernels/shape.h"

namespace sluice::kernels {

/// Inverse of CopyRowsFn. Writes the rows' values and nothing between them.
using PlaceRowsFn = void(std::span<const std::byte> in, const KvShape& shape, TokenRange range,
                         const MutablePlaneView& plane);

/// Rounds fp32 rows to shape.dtype, half to even, and places them.
/// Shape:   in = [count][kv_heads * head_dim]
/// Exact:   integer arithmetic; F16, BF16, E5M2 overflow to infinity, E4M3 to its NaN, denormals are kept; a NaN
///          comes out quiet with the upper bits of its payload
/// Aliasing: none.  Threads: pure.
using ScatterFn = void(std::span<const float> in, const KvShape& shape, TokenRange range,
                       const MutablePlaneView& plane);

}  // namespace sluice::kernels
