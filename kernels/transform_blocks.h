// Matrix product in blocks of kRows rows x two registers of tokens, all sums in registers; the instruction set is a
// parameter. Columns of a block are copied side by side first, so that they stay in the first-level cache whatever the
// tokens' stride is. Every output value is one chain of fma in the order that transform.h fixes: sums go through `out`
// between blocks of the inner index.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "base/assert.h"
#include "kernels/transform.h"

namespace sluice::kernels {

/// Of for_each_row_block: the last, fewer than kMost rows.
template <std::size_t kMost, typename Multiply>
void multiply_last_rows(std::size_t first, std::size_t rows, Multiply multiply) {
  if constexpr (kMost > 1) {
    if (rows == kMost - 1) return multiply(first, std::make_index_sequence<kMost - 1>());
    multiply_last_rows<kMost - 1>(first, rows, multiply);
  }
}

/// multiply(first row, the numbers of a block's rows as constants) for every kRows rows, and for those that are left.
template <std::size_t kRows, typename Multiply>
void for_each_row_block(std::size_t rows, Multiply multiply) {
  std::size_t first = 0;
  for (; first + kRows <= rows; first += kRows) multiply(first, std::make_index_sequence<kRows>());
  multiply_last_rows<kRows>(first, rows - first, multiply);
}

/// Sums of one row of a block: two registers of places.
template <typename Vector>
struct RowSums {
  Vector low, high;

  static RowSums load(const float* from) { return {Vector::load(from), Vector::load(from + Vector::kFloats)}; }
  void add(const Vector& factor, const RowSums& by) {
    low = Vector::multiply_add(factor, by.low, low);
    high = Vector::multiply_add(factor, by.high, high);
  }
  void store(float* to) const {
    low.store(to);
    high.store(to + Vector::kFloats);
  }
};

/// Rows of sums in memory, of fewer places than a block is wide.
struct NarrowSums {
  float* out;
  std::size_t stride;
  std::size_t rows;
  std::size_t places;
};

/// multiply(first row, number of rows, padded): kRows rows at a time take a turn through a padded copy,
/// [rows][kPlaces].
template <std::size_t kRows, std::size_t kPlaces, typename Multiply>
void multiply_padded(const NarrowSums& sums, Multiply multiply) {
  for (std::size_t row = 0; row < sums.rows; row += kRows) {
    alignas(64) float padded[kRows * kPlaces] = {};
    const std::size_t height = std::min(kRows, sums.rows - row);
    for (std::size_t k = 0; k < height; ++k) {
      std::memcpy(padded + k * kPlaces, sums.out + (row + k) * sums.stride, sums.places * sizeof(float));
    }
    multiply(row, height, padded);
    for (std::size_t k = 0; k < height; ++k) {
      std::memcpy(sums.out + (row + k) * sums.stride, padded + k * kPlaces, sums.places * sizeof(float));
    }
  }
}

/// Vector: a register of kFloats values, load, store, broadcast, multiply_add. kRows: as many as registers hold sums.
template <typename Vector, std::size_t kRows>
class BlockedTransform {
 public:
  static void run(std::span<const float> matrix, std::span<const float> in, TransformExtent extent,
                  std::span<float> out) {
    SLUICE_ASSERT(matrix.size() == extent.rows * extent.inner && in.size() == extent.inner * extent.tokens);
    SLUICE_ASSERT(out.size() == extent.rows * extent.tokens);
    Panel panel;
    const auto multiply_part = [&](const MatrixPart& part) {
      for (std::size_t token = 0; token < extent.tokens; token += kTokens) {
        const std::size_t tokens = std::min(kTokens, extent.tokens - token);
        panel.fill(in.data() + part.first * extent.tokens + token, extent.tokens, part.inner, tokens);
        const Block block{.matrix = matrix.data() + part.row * extent.inner + part.first,
                          .matrix_stride = extent.inner,
                          .columns = panel.columns,
                          .inner = part.inner,
                          .out = out.data() + part.row * extent.tokens + token,
                          .out_stride = extent.tokens};
        tokens == kTokens ? multiply_rows(block, part.rows) : multiply_narrow(block, part.rows, tokens);
      }
    };
    for (std::size_t first = 0; first < extent.inner; first += kInner) {
      const std::size_t inner = std::min(kInner, extent.inner - first);
      for (std::size_t row = 0; row < extent.rows; row += kMatrixRows) {
        multiply_part({row, std::min(kMatrixRows, extent.rows - row), first, inner});
      }
    }
  }

 private:
  static constexpr std::size_t kFloats = Vector::kFloats;
  static constexpr std::size_t kTokens = 2 * kFloats;
  static constexpr std::size_t kInner = 4096 / kTokens;  // 16 KiB of columns: first-level cache
  static constexpr std::size_t kMatrixRows = 192;        // with 256 inner indices 192 KiB: second-level cache

  struct Block {
    const float* matrix;  // first row and inner index of the block
    std::size_t matrix_stride;
    const float* columns;  // [inner][kTokens], contiguous
    std::size_t inner;
    float* out;
    std::size_t out_stride;
  };

  using Row = RowSums<Vector>;

  // Row numbers are constants: in an array that is indexed the sums would be memory, stored after every multiplication.
  template <std::size_t... kRow>
  static void multiply(const Block& block, std::index_sequence<kRow...>) {
    std::array<Row, sizeof...(kRow)> sums{Row::load(block.out + kRow * block.out_stride)...};
    const std::array<const float*, sizeof...(kRow)> rows{block.matrix + kRow * block.matrix_stride...};
    for (std::size_t c = 0; c < block.inner; ++c) {
      const Row column = Row::load(block.columns + c * kTokens);
      (sums[kRow].add(Vector::broadcast(rows[kRow] + c), column), ...);
    }
    (sums[kRow].store(block.out + kRow * block.out_stride), ...);
  }

  static void multiply_rows(const Block& block, std::size_t rows) {
    for_each_row_block<kRows>(rows, [&](std::size_t first, auto numbers) {
      Block own = block;
      own.matrix += first * block.matrix_stride;
      own.out += first * block.out_stride;
      multiply(own, numbers);
    });
  }

  static void multiply_narrow(const Block& block, std::size_t rows, std::size_t tokens) {
    const auto multiply_some = [&](std::size_t row, std::size_t height, float* padded) {
      Block own = block;
      own.matrix += row * block.matrix_stride;
      own.out = padded;
      own.out_stride = kTokens;
      multiply_rows(own, height);
    };
    multiply_padded<kRows, kTokens>({block.out, block.out_stride, rows, tokens}, multiply_some);
  }

  // Copies columns [first, first + inner) of kTokens tokens, or of fewer and zeros, side by side.
  struct Panel {
    alignas(64) float columns[kInner * kTokens];

    void fill(const float* in, std::size_t stride, std::size_t inner, std::size_t tokens) {
      if (tokens < kTokens) std::memset(columns, 0, sizeof columns);
      for (std::size_t c = 0; c < inner; ++c) {
        tokens == kTokens ? std::memcpy(columns + c * kTokens, in + c * stride, kTokens * sizeof(float))
                          : std::memcpy(columns + c * kTokens, in + c * stride, tokens * sizeof(float));
      }
    }
  };

  // Rows and inner indices of one block of the matrix.
  struct MatrixPart {
    std::size_t row = 0, rows = 0;
    std::size_t first = 0, inner = 0;
  };
};

}  // namespace sluice::kernels
