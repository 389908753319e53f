// The matrix products of transform_blocks.h and synthesis_blocks.h on registers of 16 values.
#include <immintrin.h>

#include "kernels/avx512/kernels.h"
#include "kernels/synthesis_blocks.h"
#include "kernels/transform_blocks.h"

namespace sluice::kernels::avx512 {
namespace {

struct Vector {
  static constexpr std::size_t kFloats = 16;
  __m512 value;

  static Vector load(const float* from) { return {_mm512_loadu_ps(from)}; }
  void store(float* to) const { _mm512_storeu_ps(to, value); }
  static Vector zero() { return {_mm512_setzero_ps()}; }
  static Vector broadcast(const float* from) { return {_mm512_set1_ps(*from)}; }
  static Vector multiply_add(Vector a, Vector b, Vector sum) { return {_mm512_fmadd_ps(a.value, b.value, sum.value)}; }

  static bool reconstruct(const std::int16_t* from, const float* steps, float unit, float* to) {
    const __m512i indices = _mm512_loadu_si512(from);
    if (_mm512_test_epi16_mask(indices, indices) == 0) return store_zeros(to);
    const __mmask32 is_unit = _mm512_cmpeq_epi16_mask(_mm512_abs_epi16(indices), _mm512_set1_epi16(1));
    const auto half = [&](__m256i words, const float* by, __mmask16 units) {
      const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(words)), _mm512_loadu_ps(by));
      return _mm512_mask_mul_ps(product, units, product, _mm512_set1_ps(unit));
    };
    _mm512_storeu_ps(to, half(_mm512_castsi512_si256(indices), steps, static_cast<__mmask16>(is_unit)));
    _mm512_storeu_ps(to + kFloats, half(_mm512_extracti64x4_epi64(indices, 1), steps + kFloats,
                                        static_cast<__mmask16>(is_unit >> kFloats)));
    return true;
  }

 private:
  static bool store_zeros(float* to) {
    _mm512_storeu_ps(to, _mm512_setzero_ps());
    _mm512_storeu_ps(to + kFloats, _mm512_setzero_ps());
    return false;
  }
};

constexpr std::size_t kRows = 12;  // 24 of 32 registers hold sums

}  // namespace

void transform(std::span<const float> matrix, std::span<const float> in, TransformExtent extent, std::span<float> out) {
  BlockedTransform<Vector, kRows>::run(matrix, in, extent, out);
}

void synthesize(const IndexedCoefficients& in, std::span<const float> basis, std::span<float> out) {
  BlockedSynthesis<Vector, kRows>::run(in, basis, out);
}

void reconstruct(const IndexedCoefficients& in, std::span<float> out) { reconstruct_blocks<Vector>(in, out); }

}  // namespace sluice::kernels::avx512
