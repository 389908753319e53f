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

void reconstruct(const IndexedCoefficients& in, std::span<float> out) {
  const std::size_t places = in.steps.size();
  SLUICE_ASSERT(out.size() == in.indices.size());
  for (std::size_t at = 0; at < out.size(); at += places) {
    for (std::size_t place = 0; place < places; ++place) {
      const std::int32_t index = in.indices[at + place];
      const float product = static_cast<float>(index) * in.steps[place];
      out[at + place] = index == 1 || index == -1 ? product * in.unit_magnitude : product;
    }
  }
}

void synthesize(const IndexedCoefficients& in, std::span<const float> basis, std::span<float> out) {
  const std::size_t places = in.steps.size();
  if (places == 0) return;
  const std::size_t rows = out.size() / places;
  SLUICE_ASSERT(basis.size() * places == in.indices.size() * rows && out.size() == rows * places);
  for (std::size_t row = 0; row < rows; ++row) {
    float* const sums = out.data() + row * places;
    for (std::size_t place = 0; place < places; ++place) sums[place] = 0;
    for (std::size_t i = 0; i * places < in.indices.size(); ++i) {
      const float factor = basis[i * rows + row];
      const std::int16_t* const indices = in.indices.data() + i * places;
      for (std::size_t place = 0; place < places; ++place) {
        const std::int32_t index = indices[place];
        if (index == 0) continue;
        float value = static_cast<float>(index) * in.steps[place];
        if (index == 1 || index == -1) value *= in.unit_magnitude;
        sums[place] = std::fma(factor, value, sums[place]);
      }
    }
  }
}

}  // namespace sluice::kernels::ref
