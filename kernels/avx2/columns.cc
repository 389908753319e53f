// Rows to columns and back in blocks of 8 x 8, and RoPE on columns.
#include "base/assert.h"
#include "kernels/avx2/blocks.h"
#include "kernels/avx2/kernels.h"

namespace sluice::kernels::avx2 {
namespace {

constexpr std::uint64_t kEight = 8;

// An 8 x 8 block, `in` rows to columns of `out`; strides in floats.
struct Strides {
  std::uint64_t in = 0, out = 0;
};

void transpose_block(const float* in, float* out, Strides stride) {
  __m256 half[8], pair[8];
  const auto rows = [&](std::uint64_t row, std::uint64_t column) {
    // Rows `row` and `row + 4`, four values each.
    const float* const from = in + row * stride.in + column;
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from)), _mm_loadu_ps(from + 4 * stride.in), 1);
  };
  for (std::uint64_t row = 0; row < 4; ++row) {
    half[row] = rows(row, 0);
    half[4 + row] = rows(row, 4);
  }
  for (std::uint64_t side = 0; side < 8; side += 4) {
    const __m256 low02 = _mm256_unpacklo_ps(half[side], half[side + 2]);
    const __m256 high02 = _mm256_unpackhi_ps(half[side], half[side + 2]);
    const __m256 low13 = _mm256_unpacklo_ps(half[side + 1], half[side + 3]);
    const __m256 high13 = _mm256_unpackhi_ps(half[side + 1], half[side + 3]);
    pair[side] = _mm256_unpacklo_ps(low02, low13);
    pair[side + 1] = _mm256_unpackhi_ps(low02, low13);
    pair[side + 2] = _mm256_unpacklo_ps(high02, high13);
    pair[side + 3] = _mm256_unpackhi_ps(high02, high13);
  }
  for (std::uint64_t column = 0; column < kEight; ++column) _mm256_storeu_ps(out + column * stride.out, pair[column]);
}

struct Area {
  std::uint64_t height;
  std::uint64_t width;
};

// in[height][width] to out[width][height] under strides.
void transpose(const float* in, Area area, float* out, Strides stride) {
  const auto [height, width] = area;
  for (std::uint64_t c = 0; c < width; c += kEight) {
    std::uint64_t r = 0;
    if (c + kEight <= width) {
      for (; r + kEight <= height; r += kEight)
        transpose_block(in + r * stride.in + c, out + c * stride.out + r, stride);
    }
    const std::uint64_t end = c + kEight < width ? c + kEight : width;
    for (; r < height; ++r) {
      for (std::uint64_t k = c; k < end; ++k) out[k * stride.out + r] = in[r * stride.in + k];
    }
  }
}

void check_extent(TransposeExtent extent, std::size_t rows, std::size_t columns) {
  SLUICE_ASSERT(rows >= extent.tokens * extent.width && columns >= extent.width * extent.stride);
  SLUICE_ASSERT(extent.first + extent.tokens <= extent.stride);
}

}  // namespace

void to_columns(std::span<const float> rows, TransposeExtent extent, std::span<float> columns) {
  check_extent(extent, rows.size(), columns.size());
  transpose(rows.data(), {extent.tokens, extent.width}, columns.data() + extent.first, {extent.width, extent.stride});
}

void to_rows(std::span<const float> columns, TransposeExtent extent, std::span<float> rows) {
  check_extent(extent, rows.size(), columns.size());
  transpose(columns.data() + extent.first, {extent.width, extent.tokens}, rows.data(), {extent.stride, extent.width});
}

void rotate(const RotateColumns& columns) {
  const std::size_t tokens = columns.first.size();
  SLUICE_ASSERT(columns.second.size() == tokens && columns.cosine.size() == tokens && columns.sine.size() == tokens);
  float *const first = columns.first.data(), *const second = columns.second.data();
  const float *const cosines = columns.cosine.data(), *const sines = columns.sine.data();
  const __m256 sign = _mm256_set1_ps(columns.sine_sign);
  std::size_t t = 0;
  for (; t + kEight <= tokens; t += kEight) {
    const __m256 cosine = _mm256_loadu_ps(cosines + t), sine = _mm256_mul_ps(_mm256_loadu_ps(sines + t), sign);
    const __m256 x = _mm256_loadu_ps(first + t), y = _mm256_loadu_ps(second + t);
    _mm256_storeu_ps(first + t, _mm256_sub_ps(_mm256_mul_ps(x, cosine), _mm256_mul_ps(y, sine)));
    _mm256_storeu_ps(second + t, _mm256_add_ps(_mm256_mul_ps(x, sine), _mm256_mul_ps(y, cosine)));
  }
  for (; t < tokens; ++t) {
    const float cosine = cosines[t], sine = sines[t] * columns.sine_sign;
    const float x = first[t], y = second[t];
    first[t] = x * cosine - y * sine;
    second[t] = x * sine + y * cosine;
  }
}

}  // namespace sluice::kernels::avx2
