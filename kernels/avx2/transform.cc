// Matrix product in blocks of 6 rows x 16 tokens, twelve accumulators in registers. Columns of a block are copied side
// by side first, so that they stay in the first-level cache whatever the tokens' stride is. Every output value is one
// chain of fma in the order that transform.h fixes: sums go through `out` between blocks of the inner index.
#include "kernels/transform.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "kernels/avx2/kernels.h"

namespace sluice::kernels::avx2 {
namespace {

constexpr std::size_t kEight = 8;
constexpr std::size_t kTokens = 2 * kEight;
constexpr std::size_t kRows = 6;
constexpr std::size_t kInner = 256;  // 16 KiB of columns

struct Block {
  const float* matrix;  // first row and inner index of the block
  std::size_t matrix_stride;
  const float* columns;  // [inner][kTokens], contiguous
  std::size_t inner;
  float* out;
  std::size_t out_stride;
};

template <std::size_t kHeight>
void multiply(const Block& block) {
  __m256 sums[kHeight][2];
  for (std::size_t row = 0; row < kHeight; ++row) {
    sums[row][0] = _mm256_loadu_ps(block.out + row * block.out_stride);
    sums[row][1] = _mm256_loadu_ps(block.out + row * block.out_stride + kEight);
  }
  for (std::size_t c = 0; c < block.inner; ++c) {
    const __m256 low = _mm256_load_ps(block.columns + c * kTokens);
    const __m256 high = _mm256_load_ps(block.columns + c * kTokens + kEight);
    for (std::size_t row = 0; row < kHeight; ++row) {
      const __m256 factor = _mm256_broadcast_ss(block.matrix + row * block.matrix_stride + c);
      sums[row][0] = _mm256_fmadd_ps(factor, low, sums[row][0]);
      sums[row][1] = _mm256_fmadd_ps(factor, high, sums[row][1]);
    }
  }
  for (std::size_t row = 0; row < kHeight; ++row) {
    _mm256_storeu_ps(block.out + row * block.out_stride, sums[row][0]);
    _mm256_storeu_ps(block.out + row * block.out_stride + kEight, sums[row][1]);
  }
}

void multiply_rows(Block block, std::size_t rows) {
  for (; rows >= kRows; rows -= kRows) {
    multiply<kRows>(block);
    block.matrix += kRows * block.matrix_stride;
    block.out += kRows * block.out_stride;
  }
  for (; rows > 0; --rows) {
    multiply<1>(block);
    block.matrix += block.matrix_stride;
    block.out += block.out_stride;
  }
}

// Fewer than kTokens tokens: their sums take a turn through a padded copy, kRows rows at a time.
void multiply_narrow(Block block, std::size_t rows, std::size_t tokens) {
  float* const out = block.out;
  const std::size_t out_stride = block.out_stride;
  for (std::size_t row = 0; row < rows; row += kRows) {
    alignas(32) float padded[kRows * kTokens] = {};
    const std::size_t height = std::min(kRows, rows - row);
    for (std::size_t k = 0; k < height; ++k) {
      std::memcpy(padded + k * kTokens, out + (row + k) * out_stride, tokens * sizeof(float));
    }
    block.out = padded;
    block.out_stride = kTokens;
    multiply_rows(block, height);
    for (std::size_t k = 0; k < height; ++k) {
      std::memcpy(out + (row + k) * out_stride, padded + k * kTokens, tokens * sizeof(float));
    }
    block.matrix += kRows * block.matrix_stride;
  }
}

}  // namespace

void transform(std::span<const float> matrix, std::span<const float> in, TransformExtent extent, std::span<float> out) {
  SLUICE_ASSERT(matrix.size() == extent.rows * extent.inner && in.size() == extent.inner * extent.tokens);
  SLUICE_ASSERT(out.size() == extent.rows * extent.tokens);
  alignas(64) float columns[kInner * kTokens];
  for (std::size_t first = 0; first < extent.inner; first += kInner) {
    const std::size_t inner = std::min(kInner, extent.inner - first);
    for (std::size_t token = 0; token < extent.tokens; token += kTokens) {
      const std::size_t tokens = std::min(kTokens, extent.tokens - token);
      if (tokens < kTokens) std::memset(columns, 0, sizeof columns);
      for (std::size_t c = 0; c < inner; ++c) {
        const float* const from = in.data() + (first + c) * extent.tokens + token;
        tokens == kTokens ? std::memcpy(columns + c * kTokens, from, kTokens * sizeof(float))
                          : std::memcpy(columns + c * kTokens, from, tokens * sizeof(float));
      }
      const Block block{.matrix = matrix.data() + first,
                        .matrix_stride = extent.inner,
                        .columns = columns,
                        .inner = inner,
                        .out = out.data() + token,
                        .out_stride = extent.tokens};
      tokens == kTokens ? multiply_rows(block, extent.rows) : multiply_narrow(block, extent.rows, tokens);
    }
  }
}

}  // namespace sluice::kernels::avx2
