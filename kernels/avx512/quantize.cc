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

__m512i quantize_sixteen(__m512 values, __m512 mean, __m512 scale) {
  const __m512i limit = _mm512_set1_epi32(std::bit_cast<std::int32_t>(static_cast<float>(kLargestIndex)));
  const __m512i threshold = _mm512_set1_epi32(std::bit_cast<std::int32_t>(kZeroThreshold));
  const __m512i bits = _mm512_castps_si512(_mm512_mul_ps(_mm512_sub_ps(values, mean), scale));
  const __m512i magnitude = _mm512_min_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF)), limit);
  const __mmask16 is_kept = _mm512_cmpge_epi32_mask(magnitude, threshold);
  const __m512 raised = _mm512_add_ps(_mm512_castsi512_ps(magnitude), _mm512_set1_ps(0.5F));
  const __m512i rounded = _mm512_maskz_cvttps_epi32(is_kept, raised);
  return _mm512_mask_sub_epi32(rounded, _mm512_movepi32_mask(bits), _mm512_setzero_si512(), rounded);
}

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

void quantize(std::span<const float> column, QuantizeScale by, std::span<std::int16_t> out) {
  SLUICE_ASSERT(out.size() == column.size());
  const __m512 mean = _mm512_set1_ps(by.mean), scale = _mm512_set1_ps(by.scale);
  std::size_t done = 0;
  for (; done + kFloats <= column.size(); done += kFloats) {
    const __m512i indices = quantize_sixteen(_mm512_loadu_ps(column.data() + done), mean, scale);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out.data() + done), _mm512_maskz_cvtepi32_epi16(0xFFFF, indices));
  }
  if (done == column.size()) return;
  const auto lanes = static_cast<__mmask16>((1U << (column.size() - done)) - 1);
  const __m512i indices = quantize_sixteen(_mm512_maskz_loadu_ps(lanes, column.data() + done), mean, scale);
  _mm256_mask_storeu_epi16(out.data() + done, lanes, _mm512_maskz_cvtepi32_epi16(lanes, indices));
}

}  // namespace sluice::kernels::avx512
