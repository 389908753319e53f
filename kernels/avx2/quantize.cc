// Quantiser, symbol folding and moments on whole registers; bits equal to ref, operation by operation.
#include "kernels/quantize.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.h"
#include "kernels/avx2/blocks.h"
#include "kernels/avx2/kernels.h"

namespace sluice::kernels::avx2 {
namespace {

constexpr std::size_t kFloats = 8;
constexpr std::size_t kAccumulators = kMomentLanes / kFloats;
static_assert(kAccumulators == 4);

struct Sums {
  __m256 lanes[kAccumulators];
};

float total(const Sums& sums) {
  const __m256 eight =
      _mm256_add_ps(_mm256_add_ps(sums.lanes[0], sums.lanes[2]), _mm256_add_ps(sums.lanes[1], sums.lanes[3]));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// visit(accumulator, values, mask) for each eight values of a column; lanes outside of it have mask 0.
template <typename Visit>
void for_each_eight(std::span<const float> column, Visit visit) {
  const float* const values = column.data();
  const std::size_t count = column.size();
  const __m256 all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
  std::size_t done = 0;
  for (; done + kMomentLanes <= count; done += kMomentLanes) {
    for (std::size_t k = 0; k < kAccumulators; ++k) visit(k, _mm256_loadu_ps(values + done + k * kFloats), all);
  }
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (std::size_t k = 0; done < count; ++k, done += kFloats) {
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count - done)), lane);
    visit(k, _mm256_maskload_ps(values + done, mask), _mm256_castsi256_ps(mask));
  }
}

std::uint32_t largest_lane(__m256i lanes) {
  __m128i four = _mm_max_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xB1));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(four));
}

// |steps|, at most kLargestIndex, as a float.
__m256i limited_magnitude(__m256i bits) {
  const __m256i limit = _mm256_set1_epi32(std::bit_cast<std::int32_t>(static_cast<float>(kLargestIndex)));
  return _mm256_min_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF)), limit);
}

// To the nearest, half up.
__m256i rounded(__m256i magnitude) {
  return _mm256_cvttps_epi32(_mm256_add_ps(_mm256_castsi256_ps(magnitude), _mm256_set1_ps(0.5F)));
}

__m256i with_sign_of(__m256i bits, __m256i index) {
  return _mm256_sign_epi32(index, _mm256_or_si256(bits, _mm256_set1_epi32(1)));
}

// Index of the last stage, without sign.
__m256i last_magnitude(__m256i bits) {
  const __m256i zero = _mm256_set1_epi32(std::bit_cast<std::int32_t>(kZeroThreshold));
  const __m256i one = _mm256_set1_epi32(std::bit_cast<std::int32_t>(kOneThreshold));
  const __m256i magnitude = limited_magnitude(bits);
  const __m256i is_one = _mm256_cmpgt_epi32(one, magnitude);
  const __m256i either = _mm256_blendv_epi8(rounded(magnitude), _mm256_set1_epi32(1), is_one);
  return _mm256_andnot_si256(_mm256_cmpgt_epi32(zero, magnitude), either);
}

__m256i magnitude_bits(__m256 values) {
  return _mm256_and_si256(_mm256_castps_si256(values), _mm256_set1_epi32(0x7FFFFFFF));
}

// block(values, first, count) for each 8 values of a column, the last ones followed by copies of the first of them.
template <typename Block>
void for_each_padded_eight(std::span<const float> column, Block block) {
  std::size_t done = 0;
  for (; done + kFloats <= column.size(); done += kFloats) block(_mm256_loadu_ps(column.data() + done), done, kFloats);
  if (done == column.size()) return;
  const std::size_t rest = column.size() - done;
  alignas(32) float last[kFloats];
  std::fill_n(last, kFloats, column[done]);
  std::memcpy(last, column.data() + done, rest * sizeof(float));
  block(_mm256_load_ps(last), done, rest);
}

void store_words(std::int16_t* to, std::size_t count, __m256i indices) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(indices), _mm256_extracti128_si256(indices, 1));
  if (count == kFloats) return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), words);
  alignas(16) std::int16_t last[kFloats];
  _mm_store_si128(reinterpret_cast<__m128i*>(last), words);
  std::memcpy(to, last, count * sizeof(std::int16_t));
}

// |n| as an unsigned number: -32768 too.
__m256i magnitude_of(__m256i indices) { return _mm256_abs_epi16(indices); }

// Control of _mm256_sign_epi16 that keeps where n >= 0 and negates where n < 0.
__m256i sign_of(__m256i indices) { return _mm256_or_si256(indices, _mm256_set1_epi16(1)); }

__m256i contexts_of(const std::int16_t* indices) {
  const auto half = [](const std::int16_t* from) {
    return _mm256_min_epu16(magnitude_of(load(from)), _mm256_set1_epi16(3));
  };
  return pack_bytes(half(indices), half(indices + 16));
}

}  // namespace

ColumnMoments moments(std::span<const float> column) {
  ColumnMoments result;
  if (column.empty()) return result;
  const __m256 origin = _mm256_set1_ps(column[0]);
  const __m256i exponent = _mm256_set1_epi32(0x7F800000);
  __m256i worst = _mm256_setzero_si256();
  Sums sum{};
  for_each_eight(column, [&](std::size_t k, __m256 values, __m256 mask) {
    worst = _mm256_max_epi32(worst, _mm256_and_si256(_mm256_castps_si256(values), exponent));
    sum.lanes[k] = _mm256_add_ps(sum.lanes[k], _mm256_and_ps(_mm256_sub_ps(values, origin), mask));
  });
  result.finite = largest_lane(worst) != 0x7F800000U;
  if (!result.finite) return result;
  const float share = 1.0F / static_cast<float>(column.size());
  result.mean = column[0] + share * total(sum);
  const __m256 mean = _mm256_set1_ps(result.mean);
  const __m256 magnitude_bits = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  __m256i largest = _mm256_setzero_si256();
  Sums squares{}, magnitudes{};
  for_each_eight(column, [&](std::size_t k, __m256 values, __m256 mask) {
    const __m256 rest = _mm256_and_ps(_mm256_sub_ps(values, mean), mask);
    const __m256 magnitude = _mm256_and_ps(rest, magnitude_bits);
    largest = _mm256_max_epi32(largest, _mm256_castps_si256(magnitude));
    squares.lanes[k] = _mm256_add_ps(squares.lanes[k], _mm256_mul_ps(rest, rest));
    magnitudes.lanes[k] = _mm256_add_ps(magnitudes.lanes[k], magnitude);
  });
  result.variance = share * total(squares);
  result.mean_magnitude = share * total(magnitudes);
  result.max_magnitude = std::bit_cast<float>(largest_lane(largest));
  return result;
}

float quantize(std::span<const float> column, QuantizeScale by, const NestedColumns& out) {
  const std::size_t size = column.size();
  SLUICE_ASSERT(out.base.size() == size && out.middle.size() == size && out.last.size() == size);
  const __m256 mean = _mm256_set1_ps(by.mean), scale = _mm256_set1_ps(by.scale);
  __m256i most = _mm256_setzero_si256();
  for_each_padded_eight(column, [&](__m256 values, std::size_t first, std::size_t count) {
    const __m256 rest = _mm256_sub_ps(values, mean);
    most = _mm256_max_epi32(most, magnitude_bits(rest));
    const __m256i bits = _mm256_castps_si256(_mm256_mul_ps(rest, scale)), last = last_magnitude(bits);
    const __m256i nested = _mm256_add_epi32(last, _mm256_cmpeq_epi32(last, _mm256_set1_epi32(kLargestBaseZero)));
    // Exact up to 16 bits: n / 3 = n * ceil(2^17 / 3) >> 17, n / 9 = n * ceil(2^19 / 9) >> 19.
    const auto over = [&](int add, int reciprocal, int shift) {
      const __m256i sum = _mm256_add_epi32(nested, _mm256_set1_epi32(add));
      return _mm256_srli_epi32(_mm256_mullo_epi32(sum, _mm256_set1_epi32(reciprocal)), shift);
    };
    store_words(out.base.data() + first, count, with_sign_of(bits, over(4, 58255, 19)));
    store_words(out.middle.data() + first, count, with_sign_of(bits, over(1, 43691, 17)));
    store_words(out.last.data() + first, count, with_sign_of(bits, last));
  });
  return std::bit_cast<float>(largest_lane(most));
}

float quantize_priced(std::span<const float> column, const PricedScale& by, std::span<std::int16_t> out) {
  SLUICE_ASSERT(out.size() == column.size() && by.prices.size() == std::size_t{kPricedIndices});
  const __m256 scale = _mm256_set1_ps(by.scale), price_of_zero = _mm256_set1_ps(by.prices[0]);
  const __m256i zero = _mm256_setzero_si256(), last = _mm256_set1_epi32(kPricedIndices - 1);
  __m256i most = zero;
  for_each_padded_eight(column, [&](__m256 values, std::size_t first, std::size_t count) {
    most = _mm256_max_epi32(most, magnitude_bits(values));
    const __m256i bits = _mm256_castps_si256(_mm256_mul_ps(values, scale)), magnitude = limited_magnitude(bits);
    const __m256 x = _mm256_castsi256_ps(magnitude);
    const __m256i nearest = rounded(magnitude), below = _mm256_sub_epi32(nearest, _mm256_set1_epi32(1));
    const auto cost = [&](__m256i n) {
      const __m256 error = _mm256_sub_ps(x, _mm256_cvtepi32_ps(n));
      const __m256i entry = _mm256_max_epi32(_mm256_min_epi32(n, last), zero);
      return _mm256_add_ps(_mm256_mul_ps(error, error), _mm256_i32gather_ps(by.prices.data(), entry, sizeof(float)));
    };
    const __m256i is_priced = _mm256_andnot_si256(_mm256_cmpgt_epi32(nearest, last), _mm256_cmpgt_epi32(nearest, zero));
    const __m256 of_nearest = cost(nearest), of_below = cost(below);
    const __m256 of_zero = _mm256_add_ps(_mm256_mul_ps(x, x), price_of_zero);
    const __m256 is_below = _mm256_cmp_ps(of_below, of_nearest, _CMP_LT_OQ);
    const __m256 is_zero = _mm256_cmp_ps(of_zero, _mm256_blendv_ps(of_nearest, of_below, is_below), _CMP_LT_OQ);
    const __m256i lower = _mm256_and_si256(_mm256_castps_si256(is_below), is_priced);
    const __m256i chosen = _mm256_add_epi32(nearest, lower);
    const __m256i best = _mm256_andnot_si256(_mm256_and_si256(_mm256_castps_si256(is_zero), is_priced), chosen);
    store_words(out.data() + first, count, with_sign_of(bits, best));
  });
  return std::bit_cast<float>(largest_lane(most));
}

void add_feature(std::span<const float> column, const Feature& feature, std::span<float> sums) {
  SLUICE_ASSERT(column.size() == sums.size());
  const __m256 scale = _mm256_set1_ps(feature.scale), clip = _mm256_set1_ps(feature.clip);
  const __m256 least = _mm256_set1_ps(-feature.clip), weight = _mm256_set1_ps(feature.weight);
  const __m256 magnitude_weight = _mm256_set1_ps(feature.magnitude_weight);
  map_blocks<kFloats>(column.data(), sums.data(), column.size(), [&](const float* in, float* to) {
    const __m256 c = _mm256_min_ps(clip, _mm256_max_ps(least, _mm256_mul_ps(_mm256_loadu_ps(in), scale)));
    const __m256 magnitude = _mm256_castsi256_ps(magnitude_bits(c));
    const __m256 term = _mm256_add_ps(_mm256_mul_ps(weight, c), _mm256_mul_ps(magnitude_weight, magnitude));
    _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), term));
  });
}

void dequantize(std::span<const std::int16_t> indices, DequantizeScale by, std::span<float> out) {
  SLUICE_ASSERT(out.size() == indices.size());
  const __m256 mean = _mm256_set1_ps(by.mean), step = _mm256_set1_ps(by.step);
  map_blocks<kFloats>(indices.data(), out.data(), indices.size(), [&](const std::int16_t* in, float* to) {
    const __m256i wide = _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)));
    _mm256_storeu_ps(to, _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(wide), step), mean));
  });
}

std::size_t fold(std::span<const std::int16_t> indices, std::uint32_t largest, std::span<std::uint8_t> symbols) {
  SLUICE_ASSERT(symbols.size() == indices.size() && largest < kRansMaxSymbols / 2);
  const __m256i escape = _mm256_set1_epi16(static_cast<short>(2 * largest + 1));
  const __m256i bound = _mm256_set1_epi16(kRansMaxSymbols);
  std::uint32_t escapes = 0;
  const auto half = [&](const std::int16_t* in) {
    const __m256i n = load(in);
    const __m256i magnitude = _mm256_min_epu16(magnitude_of(n), bound);
    const __m256i is_positive = _mm256_cmpgt_epi16(n, _mm256_setzero_si256());
    return _mm256_min_epi16(_mm256_add_epi16(_mm256_add_epi16(magnitude, magnitude), is_positive), escape);
  };
  map_blocks<32>(indices.data(), symbols.data(), indices.size(), [&](const std::int16_t* in, std::uint8_t* to) {
    const __m256i folded = pack_bytes(half(in), half(in + 16));
    const __m256i is_escape = _mm256_cmpeq_epi8(folded, _mm256_set1_epi8(static_cast<char>(2 * largest + 1)));
    escapes += static_cast<std::uint32_t>(std::popcount(static_cast<std::uint32_t>(_mm256_movemask_epi8(is_escape))));
    store(to, folded);
  });
  return escapes;
}

std::size_t unfold(std::span<const std::uint8_t> symbols, std::uint32_t largest, std::span<std::int16_t> indices) {
  SLUICE_ASSERT(symbols.size() == indices.size());
  const __m256i one = _mm256_set1_epi16(1);
  const __m256i escape = _mm256_set1_epi16(static_cast<short>(2 * largest + 1));
  __m256i escapes = _mm256_setzero_si256();
  map_blocks<16>(symbols.data(), indices.data(), symbols.size(), [&](const std::uint8_t* in, std::int16_t* to) {
    const __m256i symbol = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)));
    const __m256i magnitude = _mm256_srli_epi16(_mm256_add_epi16(symbol, one), 1);
    const __m256i is_even = _mm256_sub_epi16(_mm256_and_si256(symbol, one), one);
    const __m256i index = _mm256_sign_epi16(magnitude, _mm256_or_si256(is_even, one));
    const __m256i is_escape = _mm256_cmpeq_epi16(symbol, escape);
    escapes = _mm256_sub_epi32(escapes, _mm256_madd_epi16(is_escape, one));
    store(to, _mm256_andnot_si256(is_escape, index));
  });
  alignas(32) std::uint32_t counts[8];
  store(counts, escapes);
  std::size_t count = 0;
  for (const std::uint32_t each : counts) count += each;
  return count;
}

void fold_refinement(std::span<const std::int16_t> coarse, std::span<const std::int16_t> fine,
                     std::span<std::uint8_t> symbols, std::span<std::uint8_t> contexts) {
  SLUICE_ASSERT(coarse.size() == fine.size() && coarse.size() == symbols.size() && coarse.size() == contexts.size());
  const auto half = [](const std::int16_t* from, const std::int16_t* to) {
    const __m256i n = load(from);
    const __m256i three = _mm256_set1_epi16(3);
    const __m256i difference = _mm256_subs_epi16(load(to), _mm256_add_epi16(_mm256_add_epi16(n, n), n));
    const __m256i bounded = _mm256_max_epi16(_mm256_min_epi16(difference, three), _mm256_set1_epi16(-3));
    const __m256i symbol = _mm256_add_epi16(_mm256_sign_epi16(bounded, sign_of(n)), _mm256_set1_epi16(1));
    return _mm256_min_epi16(_mm256_max_epi16(symbol, _mm256_setzero_si256()), three);
  };
  map_blocks<32>(coarse.data(), contexts.data(), coarse.size(),
                 [](const std::int16_t* in, std::uint8_t* to) { store(to, contexts_of(in)); });
  std::size_t done = 0;
  for (; done + 32 <= coarse.size(); done += 32) {
    const std::int16_t *const from = coarse.data() + done, *const to = fine.data() + done;
    store(symbols.data() + done, pack_bytes(half(from, to), half(from + 16, to + 16)));
  }
  const std::size_t rest = coarse.size() - done;
  if (rest == 0) return;
  std::int16_t last_coarse[32] = {}, last_fine[32] = {};
  alignas(32) std::uint8_t last[32];
  std::memcpy(last_coarse, coarse.data() + done, rest * sizeof(std::int16_t));
  std::memcpy(last_fine, fine.data() + done, rest * sizeof(std::int16_t));
  store(last, pack_bytes(half(last_coarse, last_fine), half(last_coarse + 16, last_fine + 16)));
  std::memcpy(symbols.data() + done, last, rest);
}

void context(std::span<const std::int16_t> coarse, std::span<std::uint8_t> contexts) {
  SLUICE_ASSERT(coarse.size() == contexts.size());
  map_blocks<32>(coarse.data(), contexts.data(), coarse.size(),
                 [](const std::int16_t* in, std::uint8_t* to) { store(to, contexts_of(in)); });
}

void refine(std::span<const std::uint8_t> symbols, std::span<std::int16_t> indices) {
  SLUICE_ASSERT(symbols.size() == indices.size());
  // From this magnitude on the result saturates whatever the difference is, and the sum below still fits.
  const __m256i bound = _mm256_set1_epi16(kLargestIndex / 3 + 1);
  const __m256i least = _mm256_sub_epi16(_mm256_setzero_si256(), bound);
  map_blocks<16>(symbols.data(), indices.data(), symbols.size(), [&](const std::uint8_t* in, std::int16_t* to) {
    const __m256i n = _mm256_max_epi16(_mm256_min_epi16(load(to), bound), least);
    const __m256i symbol = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in)));
    const __m256i difference = _mm256_sign_epi16(_mm256_sub_epi16(symbol, _mm256_set1_epi16(1)), sign_of(n));
    const __m256i sum = _mm256_adds_epi16(_mm256_add_epi16(_mm256_add_epi16(n, n), difference), n);
    store(to, _mm256_max_epi16(sum, _mm256_set1_epi16(-kLargestIndex)));
  });
}

}  // namespace sluice::kernels::avx2
