// Symbols to indices and back on whole registers; bits equal to ref, operation by operation. Masked loads and stores
// take the end of a column.
#include <immintrin.h>

#include <bit>

#include "base/assert.h"
#include "kernels/avx512/kernels.h"
#include "kernels/quantize.h"

namespace sluice::kernels::avx512 {
namespace {

constexpr std::size_t kWords = 32;

// step(first, lanes) for each 32 values.
template <typename Step>
inline void for_each_block(std::size_t count, Step step) {
  std::size_t done = 0;
  for (; done + kWords <= count; done += kWords) step(done, ~__mmask32{0});
  if (done < count) step(done, static_cast<__mmask32>((std::uint64_t{1} << (count - done)) - 1));
}

inline __m512i load_bytes(const std::uint8_t* from, __mmask32 lanes) {
  return _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(lanes, from));
}
inline void store_bytes(std::uint8_t* to, __mmask32 lanes, __m512i words) {
  _mm256_mask_storeu_epi8(to, lanes, _mm512_maskz_cvtepi16_epi8(lanes, words));
}
inline __m512i minus(__m512i words) { return _mm512_sub_epi16(_mm512_setzero_si512(), words); }

}  // namespace

std::size_t fold(std::span<const std::int16_t> indices, std::uint32_t largest, std::span<std::uint8_t> symbols) {
  SLUICE_ASSERT(symbols.size() == indices.size() && largest < kRansMaxSymbols / 2);
  const __m512i escape = _mm512_set1_epi16(static_cast<short>(2 * largest + 1));
  const __m512i bound = _mm512_set1_epi16(kRansMaxSymbols), one = _mm512_set1_epi16(1);
  std::size_t escapes = 0;
  for_each_block(indices.size(), [&](std::size_t first, __mmask32 lanes) {
    const __m512i n = _mm512_maskz_loadu_epi16(lanes, indices.data() + first);
    const __m512i magnitude = _mm512_min_epu16(_mm512_abs_epi16(n), bound);
    const __m512i twice = _mm512_add_epi16(magnitude, magnitude);
    const __mmask32 is_positive = _mm512_cmpgt_epi16_mask(n, _mm512_setzero_si512());
    const __m512i folded = _mm512_mask_sub_epi16(twice, is_positive, twice, one);
    escapes += static_cast<std::size_t>(std::popcount(_mm512_mask_cmpge_epi16_mask(lanes, folded, escape)));
    store_bytes(symbols.data() + first, lanes, _mm512_min_epi16(folded, escape));
  });
  return escapes;
}

std::size_t unfold(std::span<const std::uint8_t> symbols, std::uint32_t largest, std::span<std::int16_t> indices) {
  SLUICE_ASSERT(symbols.size() == indices.size());
  const __m512i escape = _mm512_set1_epi16(static_cast<short>(2 * largest + 1)), one = _mm512_set1_epi16(1);
  std::size_t escapes = 0;
  for_each_block(symbols.size(), [&](std::size_t first, __mmask32 lanes) {
    const __m512i symbol = load_bytes(symbols.data() + first, lanes);
    const __m512i magnitude = _mm512_srli_epi16(_mm512_add_epi16(symbol, one), 1);
    const __mmask32 is_even = _mm512_testn_epi16_mask(symbol, one);
    const __m512i index = _mm512_mask_sub_epi16(magnitude, is_even, _mm512_setzero_si512(), magnitude);
    const __mmask32 is_escape = _mm512_mask_cmpeq_epi16_mask(lanes, symbol, escape);
    escapes += static_cast<std::size_t>(std::popcount(is_escape));
    _mm512_mask_storeu_epi16(indices.data() + first, lanes,
                             _mm512_maskz_mov_epi16(static_cast<__mmask32>(~is_escape), index));
  });
  return escapes;
}

void fold_refinement(std::span<const std::int16_t> coarse, std::span<const std::int16_t> fine,
                     std::span<std::uint8_t> symbols, std::span<std::uint8_t> contexts) {
  SLUICE_ASSERT(coarse.size() == fine.size() && coarse.size() == symbols.size() && coarse.size() == contexts.size());
  const __m512i one = _mm512_set1_epi16(1), three = _mm512_set1_epi16(3);
  for_each_block(coarse.size(), [&](std::size_t first, __mmask32 lanes) {
    const __m512i n = _mm512_maskz_loadu_epi16(lanes, coarse.data() + first);
    const __m512i triple = _mm512_add_epi16(_mm512_add_epi16(n, n), n);
    const __m512i difference = _mm512_subs_epi16(_mm512_maskz_loadu_epi16(lanes, fine.data() + first), triple);
    const __m512i bounded = _mm512_max_epi16(_mm512_min_epi16(difference, three), minus(three));
    const __m512i turned = _mm512_mask_sub_epi16(bounded, _mm512_movepi16_mask(n), _mm512_setzero_si512(), bounded);
    const __m512i symbol = _mm512_max_epi16(_mm512_add_epi16(turned, one), _mm512_setzero_si512());
    store_bytes(symbols.data() + first, lanes, _mm512_min_epi16(symbol, three));
    store_bytes(contexts.data() + first, lanes, _mm512_min_epu16(_mm512_abs_epi16(n), three));
  });
}

void context(std::span<const std::int16_t> coarse, std::span<std::uint8_t> contexts) {
  SLUICE_ASSERT(coarse.size() == contexts.size());
  for_each_block(coarse.size(), [&](std::size_t first, __mmask32 lanes) {
    const __m512i n = _mm512_maskz_loadu_epi16(lanes, coarse.data() + first);
    store_bytes(contexts.data() + first, lanes, _mm512_min_epu16(_mm512_abs_epi16(n), _mm512_set1_epi16(3)));
  });
}

void refine(std::span<const std::uint8_t> symbols, std::span<std::int16_t> indices) {
  SLUICE_ASSERT(symbols.size() == indices.size());
  // From this magnitude on the result saturates whatever the difference is, and the sum below still fits.
  const __m512i bound = _mm512_set1_epi16(kLargestIndex / 3 + 1), one = _mm512_set1_epi16(1);
  for_each_block(symbols.size(), [&](std::size_t first, __mmask32 lanes) {
    const __m512i loaded = _mm512_maskz_loadu_epi16(lanes, indices.data() + first);
    const __m512i n = _mm512_max_epi16(_mm512_min_epi16(loaded, bound), minus(bound));
    const __m512i difference = _mm512_sub_epi16(load_bytes(symbols.data() + first, lanes), one);
    const __m512i turned =
        _mm512_mask_sub_epi16(difference, _mm512_movepi16_mask(n), _mm512_setzero_si512(), difference);
    const __m512i sum = _mm512_adds_epi16(_mm512_add_epi16(_mm512_add_epi16(n, n), turned), n);
    _mm512_mask_storeu_epi16(indices.data() + first, lanes, _mm512_max_epi16(sum, _mm512_set1_epi16(-kLargestIndex)));
  });
}

}  // namespace sluice::kernels::avx512
