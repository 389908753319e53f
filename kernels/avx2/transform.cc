// The matrix product of transform_blocks.h on registers of 8 values.
#include <immintrin.h>

#include "kernels/avx2/kernels.h"
#include "kernels/transform_blocks.h"

namespace sluice::kernels::avx2 {
namespace {

struct Vector {
  static constexpr std::size_t kFloats = 8;
  __m256 value;

  static Vector load(const float* from) { return {_mm256_loadu_ps(from)}; }
  void store(float* to) const { _mm256_storeu_ps(to, value); }
  static Vector broadcast(const float* from) { return {_mm256_set1_ps(*from)}; }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return {_mm256_fmadd_ps(a.value, b.value, sum.value)}; }
};

constexpr std::size_t kRows = 6;  // 12 of 16 registers hold sums

}  // namespace

void transform(std::span<const float> matrix, std::span<const float> in, TransformExtent extent, std::span<float> out) {
  BlockedTransform<Vector, kRows>::run(matrix, in, extent, out);
}

}  // namespace sluice::kernels::avx2
