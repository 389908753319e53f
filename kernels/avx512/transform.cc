// The matrix product of transform_blocks.h on registers of 16 values.
#include <immintrin.h>

#include "kernels/avx512/kernels.h"
#include "kernels/transform_blocks.h"

namespace sluice::kernels::avx512 {
namespace {

struct Vector {
  static constexpr std::size_t kFloats = 16;
  __m512 value;

  static Vector load(const float* from) { return {_mm512_loadu_ps(from)}; }
  void store(float* to) const { _mm512_storeu_ps(to, value); }
  static Vector broadcast(const float* from) { return {_mm512_set1_ps(*from)}; }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return {_mm512_fmadd_ps(a.value, b.value, sum.value)}; }
};

constexpr std::size_t kRows = 12;  // 24 of 32 registers hold sums

}  // namespace

void transform(std::span<const float> matrix, std::span<const float> in, TransformExtent extent, std::span<float> out) {
  BlockedTransform<Vector, kRows>::run(matrix, in, extent, out);
}

}  // namespace sluice::kernels::avx512
