// The matrix products of transform_blocks.h and synthesis_blocks.h on registers of 8 values.
#include <immintrin.h>

#include "kernels/avx2/kernels.h"
#include "kernels/synthesis_blocks.h"
#include "kernels/transform_blocks.h"

namespace sluice::kernels::avx2 {
namespace {

struct Vector {
  static constexpr std::size_t kFloats = 8;
  __m256 value;

  static Vector load(const float* from) { return {_mm256_loadu_ps(from)}; }
  void store(float* to) const { _mm256_storeu_ps(to, value); }
  static Vector zero() { return {_mm256_setzero_ps()}; }
  static Vector broadcast(const float* from) { return {_mm256_set1_ps(*from)}; }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return {_mm256_fmadd_ps(a.value, b.value, sum.value)}; }

  static bool reconstruct(const std::int16_t* from, const float* steps, float unit, float* to) {
    const __m256i indices = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    const auto half = [&](__m128i words, const float* by, float* out) {
      const __m256i wide = _mm256_cvtepi16_epi32(words);
      const __m256i is_unit = _mm256_cmpeq_epi32(_mm256_abs_epi32(wide), _mm256_set1_epi32(1));
      const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(wide), _mm256_loadu_ps(by));
      const __m256 scaled = _mm256_mul_ps(product, _mm256_set1_ps(unit));
      _mm256_storeu_ps(out, _mm256_blendv_ps(product, scaled, _mm256_castsi256_ps(is_unit)));
    };
    half(_mm256_castsi256_si128(indices), steps, to);
    half(_mm256_extracti128_si256(indices, 1), steps + kFloats, to + kFloats);
    return _mm256_testz_si256(indices, indices) == 0;
  }
};

constexpr std::size_t kRows = 6;  // 12 of 16 registers hold sums

}  // namespace

void transform(std::span<const float> matrix, std::span<const float> in, TransformExtent extent, std::span<float> out) {
  BlockedTransform<Vector, kRows>::run(matrix, in, extent, out);
}

void synthesize(const IndexedCoefficients& in, std::span<const float> basis, std::span<float> out) {
  BlockedSynthesis<Vector, kRows>::run(in, basis, out);
}

void reconstruct(const IndexedCoefficients& in, std::span<float> out) { reconstruct_blocks<Vector>(in, out); }

}  // namespace sluice::kernels::avx2
