#include "kernels/restore.h"

#include <algorithm>

#include "base/assert.h"

namespace sluice::kernels {
namespace {

// Columns [width][count] of a strip that starts at column entry `at`.
void fill_columns(const RestoreSteps& steps, const RestoreRows& rows, const KvShape& shape, std::uint64_t at,
                  std::span<float> columns) {
  const std::uint64_t width = shape.row_values(), dim = shape.head_dim.count();
  const std::uint64_t count = columns.size() / width;
  for (std::uint64_t channel = 0; channel < width; ++channel) {
    const std::span<float> column = columns.subspan(channel * count, count);
    const float scale = rows.scales[channel], mean = rows.means[channel];
    if (rows.values.empty()) {
      steps.dequantize(rows.indices.subspan(channel * rows.stride + at, count), {.mean = mean, .step = scale}, column);
      continue;
    }
    const float* const values = rows.values.data() + channel * rows.stride + at;
    for (std::uint64_t i = 0; i < count; ++i) column[i] = values[i] * scale + mean;
  }
  for (std::uint64_t head = 0; head < shape.kv_heads.count(); ++head) {
    for (std::uint64_t pair = 0; pair < rows.pairs(); ++pair) {
      const ChannelPair channels = rope_pair(*rows.rope, pair);
      const std::span<const float> cosine = rows.angles->cosine, sine = rows.angles->sine;
      steps.rotate({.first = columns.subspan((head * dim + channels.first) * count, count),
                    .second = columns.subspan((head * dim + channels.second) * count, count),
                    .cosine = cosine.subspan(pair * rows.stride + at, count),
                    .sine = sine.subspan(pair * rows.stride + at, count),
                    .sine_sign = 1.0F});
    }
  }
}

}  // namespace

void check_restore(const RestoreRows& rows, const KvShape& shape, std::span<const float> scratch) {
  const std::uint64_t width = shape.row_values();
  SLUICE_ASSERT(scratch.size() >= 2 * kRestoreStrip * width);
  SLUICE_ASSERT(rows.indices.size() >= width * rows.stride || rows.values.size() >= width * rows.stride);
  SLUICE_ASSERT(rows.scales.size() == width && rows.means.size() == width);
  SLUICE_ASSERT(rows.first + rows.range.count <= rows.stride);
  SLUICE_ASSERT(rows.row_of.empty() || rows.row_of.size() == rows.range.count);
}

void restore_by_steps(const RestoreSteps& steps, const RestoreRows& rows, const KvShape& shape,
                      const MutablePlaneView& plane, std::span<float> scratch) {
  const std::uint64_t width = shape.row_values();
  check_restore(rows, shape, scratch);
  for (std::uint64_t done = 0; done < rows.range.count; done += kRestoreStrip) {
    const std::uint64_t count = std::min(kRestoreStrip, rows.range.count - done);
    const std::span<float> columns = scratch.first(width * count);
    const std::span<float> strip = scratch.subspan(kRestoreStrip * width, width * count);
    fill_columns(steps, rows, shape, rows.first + done, columns);
    steps.to_rows(columns, {.tokens = count, .width = width, .first = 0, .stride = count}, strip);
    if (rows.row_of.empty()) {
      steps.scatter(strip, shape, {rows.range.first + done, count}, plane);
      continue;
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      steps.scatter(strip.subspan(i * width, width), shape, {rows.range.first + rows.row_of[done + i], 1}, plane);
    }
  }
}

}  // namespace sluice::kernels
