// Walks the rows of a plane as the longest contiguous runs that its strides and blocks allow, in token order, heads
// inside a token. Shared by gather (const bytes) and scatter (mutable bytes) of every table.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "kernels/gather.h"
#include "kernels/shape.h"

namespace sluice::kernels {

/// Calls visit with the one of a set of formats (F32, F16, Bf16, E4m3, E5m2) that stores `dtype`.
template <typename Formats, typename Visit>
void with_format(DType dtype, Visit&& visit) {
  switch (dtype) {
    case DType::kF32:
      return visit(typename Formats::F32());
    case DType::kF16:
      return visit(typename Formats::F16());
    case DType::kBf16:
      return visit(typename Formats::Bf16());
    case DType::kE4m3:
      return visit(typename Formats::E4m3());
    case DType::kE5m2:
      return visit(typename Formats::E5m2());
  }
  SLUICE_ASSERT(false);
}

/// Calls visit(pointer, size in bytes) for each run of tokens [range.first, range.first + range.count).
template <typename Byte, typename Visit>
void for_each_run(const BasicPlaneView<Byte>& plane, const KvShape& shape, TokenRange range, Visit&& visit) {
  const std::uint64_t heads = shape.kv_heads.count();
  const std::size_t head_size = shape.head_dim.count() * dtype_size(shape.dtype);
  const std::size_t row_size = heads * head_size;
  const bool joined_heads = heads == 1 || plane.head_stride == static_cast<std::ptrdiff_t>(head_size);
  const bool joined_tokens = joined_heads && plane.token_stride == static_cast<std::ptrdiff_t>(row_size);
  const std::uint64_t last = range.first + range.count;
  for (std::uint64_t token = range.first; token < last;) {
    if (joined_tokens) {
      const std::uint64_t block_end = (token / plane.block_tokens + 1) * plane.block_tokens;
      const std::uint64_t stop = std::min(last, block_end);
      visit(plane.row(token, 0), static_cast<std::size_t>(stop - token) * row_size);
      token = stop;
      continue;
    }
    if (joined_heads) {
      visit(plane.row(token, 0), row_size);
    } else {
      for (std::uint64_t head = 0; head < heads; ++head) visit(plane.row(token, head), head_size);
    }
    ++token;
  }
}

}  // namespace sluice::kernels
