// Scalar matrix product: the order of its roundings is the normative one.
#include "kernels/transform.h"

#include <cmath>

#include "base/assert.h"
#include "kernels/ref/kernels.h"

namespace sluice::kernels::ref {

void transform(std::span<const float> matrix, std::span<const float> in, TransformExtent extent, std::span<float> out) {
  SLUICE_ASSERT(matrix.size() == extent.rows * extent.inner && in.size() == extent.inner * extent.tokens);
  SLUICE_ASSERT(out.size() == extent.rows * extent.tokens);
  for (std::size_t row = 0; row < extent.rows; ++row) {
    float* const sums = out.data() + row * extent.tokens;
    for (std::size_t column = 0; column < extent.inner; ++column) {
      const float factor = matrix[row * extent.inner + column];
      const float* const values = in.data() + column * extent.tokens;
      for (std::size_t token = 0; token < extent.tokens; ++token) {
        sums[token] = std::fma(factor, values[token], sums[token]);
      }
    }
  }
}

}  // namespace sluice::kernels::ref
