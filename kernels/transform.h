// The matrix product of the coded path: basis times columns. A column layout makes it one multiply-add chain per output
// value, vectorised across tokens, so that every blocking gives the same bits.
#pragma once

#include <cstddef>
#include <span>

namespace sluice::kernels {

/// out[r][t] += matrix[r][0] * in[0][t] + matrix[r][1] * in[1][t] + ...
/// Shape:   matrix = [rows][inner], in = [inner][tokens], out = [rows][tokens]
/// Exact:   sum = out[r][t]; for c = 0, 1, ..., inner - 1: sum = fma(matrix[r][c], in[c][t], sum); out[r][t] = sum. One
///          rounding a step, in this order, in fp32: bits equal everywhere.
/// Aliasing: out overlaps neither.  Threads: pure.
struct TransformExtent {
  std::size_t rows = 0;
  std::size_t inner = 0;
  std::size_t tokens = 0;
};
using TransformFn = void(std::span<const float> matrix, std::span<const float> in, TransformExtent extent,
                         std::span<float> out);

}  // namespace sluice::kernels
