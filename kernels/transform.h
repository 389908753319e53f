// The matrix product of the coded path: basis times columns. A column layout makes it one multiply-add chain per output
// value, vectorised across tokens, so that every blocking gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
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

/// Coefficients as indices, place by place, and what they stand for.
struct IndexedCoefficients {
  std::span<const std::int16_t> indices;  ///< [coefficients][places]
  std::span<const float> steps;           ///< [places], positive
  float unit_magnitude = 1;               ///< an index of +-1 stands for this many steps
};

/// Coefficient = index * step, and for an index of +-1 that times unit_magnitude.
/// Shape:   out = [coefficients][places].  Exact: two roundings at most, in this order.  Threads: pure.
using ReconstructFn = void(const IndexedCoefficients& in, std::span<float> out);

/// The inverse transform: values from coefficients and the rows of an orthogonal basis, most indices being 0.
/// Shape:   basis = [coefficients][rows], out = [rows][places]
/// Exact:   out[r][p]: sum = 0; for i = 0, 1, ... where index [i][p] is not 0: sum = fma(basis[i][r],
/// coefficient[i][p],
///          sum). To leave the others out changes nothing but the sign of a zero, and saves their multiplications.
/// Aliasing: none.  Threads: pure.
using SynthesizeFn = void(const IndexedCoefficients& in, std::span<const float> basis, std::span<float> out);

}  // namespace sluice::kernels
