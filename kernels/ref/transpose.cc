// Scalar transposition in strips of 16 channels: 16 open cache lines on the column side, one on the row side.
#include "kernels/transpose.h"

#include <algorithm>

#include "base/assert.h"
#include "kernels/ref/kernels.h"

namespace sluice::kernels::ref {
namespace {
constexpr std::uint64_t kStrip = 16;
}

void to_columns(std::span<const float> rows, TransposeExtent extent, std::span<float> columns) {
  SLUICE_ASSERT(rows.size() >= extent.tokens * extent.width && columns.size() >= extent.width * extent.stride);
  SLUICE_ASSERT(extent.first + extent.tokens <= extent.stride);
  for (std::uint64_t c = 0; c < extent.width; c += kStrip) {
    const std::uint64_t strip = std::min(kStrip, extent.width - c);
    float* out = columns.data() + c * extent.stride + extent.first;
    for (std::uint64_t t = 0; t < extent.tokens; ++t) {
      const float* in = rows.data() + t * extent.width + c;
      for (std::uint64_t k = 0; k < strip; ++k) out[k * extent.stride + t] = in[k];
    }
  }
}

void to_rows(std::span<const float> columns, TransposeExtent extent, std::span<float> rows) {
  SLUICE_ASSERT(rows.size() >= extent.tokens * extent.width && columns.size() >= extent.width * extent.stride);
  SLUICE_ASSERT(extent.first + extent.tokens <= extent.stride);
  for (std::uint64_t c = 0; c < extent.width; c += kStrip) {
    const std::uint64_t strip = std::min(kStrip, extent.width - c);
    const float* in = columns.data() + c * extent.stride + extent.first;
    for (std::uint64_t t = 0; t < extent.tokens; ++t) {
      float* out = rows.data() + t * extent.width + c;
      for (std::uint64_t k = 0; k < strip; ++k) out[k] = in[k * extent.stride + t];
    }
  }
}

void reorder(std::span<const float> columns, std::span<const std::uint32_t> from, std::span<float> out) {
  SLUICE_ASSERT(columns.size() == out.size());
  for (std::size_t at = 0; at < out.size(); at += from.size()) {
    for (std::size_t i = 0; i < from.size(); ++i) out[at + i] = columns[at + from[i]];
  }
}

}  // namespace sluice::kernels::ref
