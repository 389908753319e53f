// Moments and quantiser on whole registers; bits equal to ref, operation by operation. Masked loads and stores take the
// end of a column.
#include "kernels/quantize.h"

#include <immintrin.h>

#include <bit>

#include "base/assert.h"
#include "kernels/avx512/kernels.h"

namespace sluice::kernels::avx512 {
namespace {

constexpr std::size_t kFloats = 16;
static_assert(kMomentLanes == 2 * kFloats);

// kMomentLanes sums.
struct Sums {
  __m512 low, high;
};

float total(const Sums& sums) {
  const __m512 sixteen = _mm512_add_ps(sums.low, sums.high);
  const __m256 upper = _mm512_extractf32x8_ps(sixteen, 1);
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), upper);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// visit(values, mask, in which half of the lanes) for each 16 values of a column; lanes outside of it have mask 0.
template <typename Visit>
inline void for_each_sixteen(std::span<const float> column, Visit visit) {
  const float* const values = column.data();
  const std::size_t count = column.size();
  constexpr __mmask16 kAll = 0xFFFF;
  std::size_t done = 0;
  for (; done + kMomentLanes <= count; done += kMomentLanes) {
    visit(_mm512_loadu_ps(values + done), kAll, &Sums::low);
    visit(_mm512_loadu_ps(values + done + kFloats), kAll, &Sums::high);
  }
  const std::uint32_t rest = (1U << (count - done)) - 1;
  const auto low = static_cast<__mmask16>(rest), high = static_cast<__mmask16>(rest >> kFloats);
  if (low != 0) visit(_mm512_maskz_loadu_ps(low, values + done), low, &Sums::low);
  if (high != 0) visit(_mm512_maskz_loadu_ps(high, values + done + kFloats), high, &Sums::high);
}

// |steps|, at most kLargestIndex, as a float.
__m512i limited_magnitude(__m512i bits) {
  const __m512i limit = _mm512_set1_epi32(std::bit_cast<std::int32_t>(static_cast<float>(kLargestIndex)));
  return _mm512_min_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF)), limit);
}

// To the nearest, half up.
__m512i rounded(__m512i magnitude) {
  return _mm512_maskz_cvttps_epi32(0xFFFF, _mm512_add_ps(_mm512_castsi512_ps(magnitude), _mm512_set1_ps(0.5F)));
}

__m512i with_sign_of(__m512i bits, __m512i index) {
  return _mm512_mask_sub_epi32(index, _mm512_movepi32_mask(bits), _mm512_setzero_si512(), index);
}

// Indices of sixteen values at each stage.
struct Sixteen {
  __m256i base, middle, last;
};

Sixteen quantize_sixteen(__m512 steps) {
  const __m512i bits = _mm512_castps_si512(steps), magnitude = limited_magnitude(bits);
  const __m512i zero = _mm512_set1_epi32(std::bit_cast<std::int32_t>(kZeroThreshold));
  const __m512i one = _mm512_set1_epi32(std::bit_cast<std::int32_t>(kOneThreshold));
  const __mmask16 is_kept = _mm512_cmpge_epi32_mask(magnitude, zero);
  const __mmask16 is_one = _mm512_cmplt_epi32_mask(magnitude, one);
  const __m512i either = _mm512_mask_mov_epi32(rounded(magnitude), is_one, _mm512_set1_epi32(1));
  const __m256i last = _mm512_maskz_cvtepi32_epi16(is_kept, either);
  const __mmask16 is_split = _mm256_cmpeq_epi16_mask(last, _mm256_set1_epi16(kLargestBaseZero));
  const __m256i nested = _mm256_mask_sub_epi16(last, is_split, last, _mm256_set1_epi16(1));
  // Exact for 16 bits: n / 3 = n * ceil(2^17 / 3) >> 17, n / 9 = n * ceil(2^19 / 9) >> 19.
  const auto over = [&](short add, int reciprocal, int shift) {
    const __m256i sum = _mm256_add_epi16(nested, _mm256_set1_epi16(add));
    return _mm256_srli_epi16(_mm256_mulhi_epu16(sum, _mm256_set1_epi16(static_cast<short>(reciprocal))), shift);
  };
  const __mmask16 is_negative = _mm512_movepi32_mask(bits);
  const auto put = [&](__m256i index) {
    return _mm256_mask_sub_epi16(index, is_negative, _mm256_setzero_si256(), index);
  };
  return {put(over(4, 58255, 3)), put(over(1, 43691, 1)), put(last)};
}

// block(values, first, lanes) for each 16 values of a column.
template <typename Block>
inline void for_each_block(std::span<const float> column, Block block) {
  std::size_t done = 0;
  for (; done + kFloats <= column.size(); done += kFloats) {
    block(_mm512_loadu_ps(column.data() + done), done, __mmask16{0xFFFF});
  }
  if (done == column.size()) return;
  const auto lanes = static_cast<__mmask16>((1U << (column.size() - done)) - 1);
  block(_mm512_maskz_loadu_ps(lanes, column.data() + done), done, lanes);
}

void store_words(std::int16_t* to, __mmask16 lanes, __m512i indices) {
  _mm256_mask_storeu_epi16(to, lanes, _mm512_maskz_cvtepi32_epi16(lanes, indices));
}

// The largest magnitude so far, with those of the lanes.
__m512i larger_magnitude(__m512i so_far, __mmask16 lanes, __m512 values) {
  return _mm512_mask_max_epi32(so_far, lanes, so_far, _mm512_castps_si512(_mm512_abs_ps(values)));
}

float largest(__m512i magnitudes) { return std::bit_cast<float>(_mm512_reduce_max_epi32(magnitudes)); }

// Prices of 64 magnitudes, by the lower six bits of an index.
struct Prices {
  __m512 quarters[4];
  explicit Prices(const float* from)
      : quarters{_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16), _mm512_loadu_ps(from + 32),
                 _mm512_loadu_ps(from + 48)} {}
  __m512 of(__m512i index) const {
    const __m512 lower = _mm512_permutex2var_ps(quarters[0], index, quarters[1]);
    const __m512 upper = _mm512_permutex2var_ps(quarters[2], index, quarters[3]);
    return _mm512_mask_blend_ps(_mm512_test_epi32_mask(index, _mm512_set1_epi32(32)), lower, upper);
  }
};

}  // namespace

ColumnMoments moments(std::span<const float> column) {
  ColumnMoments result;
  if (column.empty()) return result;
  const __m512 origin = _mm512_set1_ps(column[0]);
  const __m512i exponent = _mm512_set1_epi32(0x7F800000);
  __m512i worst = _mm512_setzero_si512();
  Sums sum{_mm512_setzero_ps(), _mm512_setzero_ps()};
  for_each_sixteen(column, [&](__m512 values, __mmask16 mask, __m512 Sums::*half) {
    worst = _mm512_max_epi32(worst, _mm512_and_si512(_mm512_castps_si512(values), exponent));
    sum.*half = _mm512_mask_add_ps(sum.*half, mask, sum.*half, _mm512_sub_ps(values, origin));
  });
  result.finite = _mm512_reduce_max_epi32(worst) != 0x7F800000;
  if (!result.finite) return result;
  const float share = 1.0F / static_cast<float>(column.size());
  result.mean = column[0] + share * total(sum);
  const __m512 mean = _mm512_set1_ps(result.mean);
  __m512i largest = _mm512_setzero_si512();
  Sums squares{_mm512_setzero_ps(), _mm512_setzero_ps()}, magnitudes = squares;
  for_each_sixteen(column, [&](__m512 values, __mmask16 mask, __m512 Sums::*half) {
    const __m512 rest = _mm512_maskz_sub_ps(mask, values, mean);
    const __m512 magnitude = _mm512_abs_ps(rest);
    largest = _mm512_max_epi32(largest, _mm512_castps_si512(magnitude));
    squares.*half = _mm512_add_ps(squares.*half, _mm512_mul_ps(rest, rest));
    magnitudes.*half = _mm512_add_ps(magnitudes.*half, magnitude);
  });
  result.variance = share * total(squares);
  result.mean_magnitude = share * total(magnitudes);
  result.max_magnitude = std::bit_cast<float>(_mm512_reduce_max_epi32(largest));
  return result;
}

float quantize(std::span<const float> column, QuantizeScale by, const NestedColumns& out) {
  const std::size_t size = column.size();
  SLUICE_ASSERT(out.base.size() == size && out.middle.size() == size && out.last.size() == size);
  const __m512 mean = _mm512_set1_ps(by.mean), scale = _mm512_set1_ps(by.scale);
  __m512i most = _mm512_setzero_si512();
  for_each_block(column, [&](__m512 values, std::size_t first, __mmask16 lanes) {
    const __m512 rest = _mm512_sub_ps(values, mean);
    most = larger_magnitude(most, lanes, rest);
    const Sixteen indices = quantize_sixteen(_mm512_mul_ps(rest, scale));
    _mm256_mask_storeu_epi16(out.base.data() + first, lanes, indices.base);
    _mm256_mask_storeu_epi16(out.middle.data() + first, lanes, indices.middle);
    _mm256_mask_storeu_epi16(out.last.data() + first, lanes, indices.last);
  });
  return largest(most);
}

float quantize_priced(std::span<const float> column, const PricedScale& by, std::span<std::int16_t> out) {
  SLUICE_ASSERT(out.size() == column.size() && by.prices.size() == std::size_t{kPricedIndices});
  const __m512 scale = _mm512_set1_ps(by.scale);
  const Prices prices(by.prices.data());
  const __m512i one = _mm512_set1_epi32(1);
  const __m512 price_of_zero = _mm512_set1_ps(by.prices[0]);
  __m512i most = _mm512_setzero_si512();
  for_each_block(column, [&](__m512 values, std::size_t first, __mmask16 lanes) {
    most = larger_magnitude(most, lanes, values);
    const __m512i bits = _mm512_castps_si512(_mm512_mul_ps(values, scale)), magnitude = limited_magnitude(bits);
    const __m512 x = _mm512_castsi512_ps(magnitude);
    const __m512i nearest = rounded(magnitude), below = _mm512_sub_epi32(nearest, one);
    const auto cost = [&](__m512i n) {
      const __m512 error = _mm512_sub_ps(x, _mm512_maskz_cvtepi32_ps(0xFFFF, n));
      return _mm512_add_ps(_mm512_mul_ps(error, error), prices.of(n));
    };
    // Unsigned: 0 is no candidate either.
    const __mmask16 is_priced = _mm512_cmplt_epu32_mask(below, _mm512_set1_epi32(kPricedIndices - 1));
    const __m512 of_nearest = cost(nearest), of_below = cost(below);
    const __m512 of_zero = _mm512_add_ps(_mm512_mul_ps(x, x), price_of_zero);
    const __mmask16 is_below = _mm512_mask_cmp_ps_mask(is_priced, of_below, of_nearest, _CMP_LT_OQ);
    const __m512 least = _mm512_mask_mov_ps(of_nearest, is_below, of_below);
    const __mmask16 is_zero = _mm512_mask_cmp_ps_mask(is_priced, of_zero, least, _CMP_LT_OQ);
    const __m512i best =
        _mm512_maskz_mov_epi32(static_cast<__mmask16>(~is_zero), _mm512_mask_mov_epi32(nearest, is_below, below));
    store_words(out.data() + first, lanes, with_sign_of(bits, best));
  });
  return largest(most);
}

void add_feature(std::span<const float> column, const Feature& feature, std::span<float> sums) {
  SLUICE_ASSERT(column.size() == sums.size());
  const __m512 scale = _mm512_set1_ps(feature.scale), clip = _mm512_set1_ps(feature.clip);
  const __m512 least = _mm512_set1_ps(-feature.clip), weight = _mm512_set1_ps(feature.weight);
  const __m512 magnitude_weight = _mm512_set1_ps(feature.magnitude_weight);
  for_each_block(column, [&](__m512 values, std::size_t first, __mmask16 lanes) {
    const __m512 c = _mm512_min_ps(clip, _mm512_max_ps(least, _mm512_mul_ps(values, scale)));
    const __m512 term = _mm512_add_ps(_mm512_mul_ps(weight, c), _mm512_mul_ps(magnitude_weight, _mm512_abs_ps(c)));
    const __m512 sum = _mm512_maskz_loadu_ps(lanes, sums.data() + first);
    _mm512_mask_storeu_ps(sums.data() + first, lanes, _mm512_add_ps(sum, term));
  });
}

}  // namespace sluice::kernels::avx512
