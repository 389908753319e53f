// Element types as fp32 and back, eight at a time; bits equal to ref/float_formats.h. F16 by F16C, fp8 by way of it or
// by integers where it would round twice.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/avx2/blocks.h"

namespace sluice::kernels::avx2 {
namespace {

/// Eight numbers of 16 or of 8 bits at any address.
inline __m128i load_eight_words(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
/// The 8-bit ones.
inline __m128i load_eight_bytes(const void* from) { return _mm_loadl_epi64(static_cast<const __m128i*>(from)); }

/// Eight 32-bit numbers below 2^16 as words, or below 2^8 as bytes in the low half.
inline __m128i to_words(__m256i wide) {
  return _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
}
/// The 8-bit ones.
inline __m128i to_bytes(__m256i wide) {
  const __m128i words = to_words(wide);
  return _mm_packus_epi16(words, words);
}

/// fp32 itself.
struct Float32 {
  using Storage = std::uint32_t;
  static __m256 widen(const Storage* in) { return _mm256_castsi256_ps(load(in)); }
  static void narrow(__m256 values, Storage* out) { store(out, _mm256_castps_si256(values)); }
};

/// By F16C.
struct Float16 {
  using Storage = std::uint16_t;
  static __m256 widen(const Storage* in) { return _mm256_cvtph_ps(load_eight_words(in)); }
  static void narrow(__m256 values, Storage* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
  }
};

/// The upper half of fp32.
struct BFloat16 {
  using Storage = std::uint16_t;
  static __m256 widen(const Storage* in) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_eight_words(in)), 16));
  }
  static void narrow(__m256 values, Storage* out) {
    const __m256i code = _mm256_castps_si256(values);
    const __m256i upper = _mm256_srli_epi32(code, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(code, _mm256_set1_epi32(0x7FFF)), odd);
    const __m256i nan = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(values, values, _CMP_UNORD_Q));
    const __m256i result = _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), nan, is_nan);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), to_words(result));
  }
};

/// Eight bits: sign, exponent, mantissa. Constants as in ref.
template <unsigned kMantissa, std::uint32_t kBias, bool kFiniteOnly>
struct Float8 {
  using Storage = std::uint8_t;
  static constexpr unsigned kShift = 23 - kMantissa;
  static constexpr int kInfinity = 0x7F - ((1 << kMantissa) - 1);
  static constexpr int kSpecial = kFiniteOnly ? 0x7F : kInfinity;

  static __m256 widen(const Storage* in) {
    const __m256i code = _mm256_cvtepu8_epi32(load_eight_bytes(in));
    const __m256i magnitude = _mm256_and_si256(code, _mm256_set1_epi32(0x7F));
    const __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(code, 7), 31);
    // As F16 with the mantissa where F16 has its upper bits: exact, and off by the difference of the biases.
    const __m128i half = to_words(_mm256_slli_epi32(magnitude, 10 - kMantissa));
    const __m256 value = _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(static_cast<float>(1U << (15 - kBias))));
    const __m256i nan = _mm256_set1_epi32(0x7FF00000);
    const __m256i is_nan =
        kFiniteOnly ? _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(kSpecial)) : _mm256_setzero_si256();
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_blendv_epi8(_mm256_castps_si256(value), nan, is_nan), sign));
  }

  static void narrow(__m256 values, Storage* out) {
    const __m256i code = _mm256_castps_si256(values);
    const __m256i magnitude = _mm256_and_si256(code, _mm256_set1_epi32(0x7FFFFFFF));
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(magnitude, kShift), _mm256_set1_epi32(1));
    constexpr int kRebias = (127 - static_cast<int>(kBias)) << 23;
    constexpr int kHalf = (1 << (kShift - 1)) - 1;
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(magnitude, odd), _mm256_set1_epi32(kHalf - kRebias));
    const __m256i normal = _mm256_min_epu32(_mm256_srli_epi32(sum, kShift), _mm256_set1_epi32(kSpecial));
    // Adding a number whose last place is the format's smallest step rounds to that step.
    const __m256i align = _mm256_set1_epi32(static_cast<int>((127U + 1U - kBias - kMantissa + 23U) << 23U));
    const __m256 aligned =
        _mm256_add_ps(_mm256_castsi256_ps(_mm256_min_epi32(magnitude, align)), _mm256_castsi256_ps(align));
    const __m256i small = _mm256_sub_epi32(_mm256_castps_si256(aligned), align);
    const __m256i limit = _mm256_set1_epi32(static_cast<int>((128U - kBias) << 23U));
    __m256i result = _mm256_blendv_epi8(normal, small, _mm256_cmpgt_epi32(limit, magnitude));
    const __m256i payload =
        _mm256_and_si256(_mm256_srli_epi32(magnitude, kShift), _mm256_set1_epi32((1 << kMantissa) - 1));
    const __m256i nan = kFiniteOnly ? _mm256_set1_epi32(kSpecial)
                                    : _mm256_or_si256(payload, _mm256_set1_epi32(kSpecial | 1 << (kMantissa - 1)));
    result = _mm256_blendv_epi8(result, nan, _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7F800000)));
    result = _mm256_or_si256(result, _mm256_slli_epi32(_mm256_srli_epi32(code, 31), 7));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), to_bytes(result));
  }
};

using FloatE4m3 = Float8<3, 7, true>;
using FloatE5m2 = Float8<2, 15, false>;

/// The formats by name of their dtype.
struct Formats {
  using F32 = Float32;
  using F16 = Float16;
  using Bf16 = BFloat16;
  using E4m3 = FloatE4m3;
  using E5m2 = FloatE5m2;
};

}  // namespace
}  // namespace sluice::kernels::avx2
