// The 32 lanes of a stream in four registers, and the word moves of both directions. States are split into halves of 16
// bits, so that a product of frequency and state takes two 16-bit multiplications for 16 lanes. Register A holds lanes
// 0-7 and 16-23, B 8-15 and 24-31: packing A and B to bytes then gives lane order, unpacking gives A and B back.
#pragma once

#include <immintrin.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/rans.h"

namespace sluice::kernels::avx2 {
namespace {

/// Upper and lower halves of the states, or one 16-bit number a lane.
struct Pair {
  __m256i a, b;
};
struct LaneStates {
  Pair low, high;
};

/// Byte shuffles that move the chosen ones of eight words to the front, and to the back.
struct WordMoves {
  alignas(16) std::array<std::array<std::uint8_t, 16>, 256> spread{};  ///< word k of a stream to the k-th chosen lane
  alignas(16) std::array<std::array<std::uint8_t, 16>, 256> gather{};  ///< chosen lanes to the last words, in order
};

/// Both tables, from their definition.
constexpr WordMoves make_word_moves() {
  WordMoves moves;
  for (std::size_t mask = 0; mask < 256; ++mask) {
    std::uint8_t next = 0;
    std::size_t at = 8 - static_cast<std::size_t>(std::popcount(mask));
    for (std::size_t lane = 0; lane < 8; ++lane) {
      if ((mask >> lane & 1U) == 0) continue;
      for (std::size_t byte = 0; byte < 2; ++byte) {
        moves.spread[mask][2 * lane + byte] = static_cast<std::uint8_t>(2 * next + byte);
        moves.gather[mask][2 * at + byte] = static_cast<std::uint8_t>(2 * lane + byte);
      }
      ++next;
      ++at;
    }
  }
  return moves;
}
inline constexpr WordMoves kMoves = make_word_moves();

/// All bits of the first n 16-bit numbers: [32 - n, ...) of this.
constexpr std::array<std::uint16_t, 2 * kRansLanes> make_first_lanes() {
  std::array<std::uint16_t, 2 * kRansLanes> lanes{};
  for (std::size_t i = 0; i < kRansLanes; ++i) lanes[i] = 0xFFFF;
  return lanes;
}
inline constexpr std::array<std::uint16_t, 2 * kRansLanes> kFirstLanes = make_first_lanes();

/// 16 bytes at any address.
inline __m128i load_half(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
/// 16 bytes to any address.
inline void store_half(void* to, __m128i value) { _mm_storeu_si128(static_cast<__m128i*>(to), value); }
/// A register of two halves.
inline __m256i join(__m128i low, __m128i high) { return _mm256_set_m128i(high, low); }
/// 16 bytes into both halves.
inline __m256i twice(const void* from) { return _mm256_broadcastsi128_si256(load_half(from)); }

/// From and to the states of a reader or writer.
inline LaneStates load_states(const std::array<std::uint32_t, kRansLanes>& states) {
  const auto halves = [&](std::size_t lane) { return join(load_half(&states[lane]), load_half(&states[lane + 16])); };
  const __m256i words = _mm256_set1_epi32(0xFFFF);
  const __m256i a0 = halves(0), a1 = halves(4), b0 = halves(8), b1 = halves(12);
  const auto low = [&](__m256i x, __m256i y) {
    return _mm256_packus_epi32(_mm256_and_si256(x, words), _mm256_and_si256(y, words));
  };
  const auto high = [](__m256i x, __m256i y) {
    return _mm256_packus_epi32(_mm256_srli_epi32(x, 16), _mm256_srli_epi32(y, 16));
  };
  return {{low(a0, a1), low(b0, b1)}, {high(a0, a1), high(b0, b1)}};
}

/// Inverse of load_states.
inline void store_states(const LaneStates& from, std::array<std::uint32_t, kRansLanes>& states) {
  const auto put = [&](std::size_t lane, __m256i value) {
    store_half(&states[lane], _mm256_castsi256_si128(value));
    store_half(&states[lane + 16], _mm256_extracti128_si256(value, 1));
  };
  put(0, _mm256_unpacklo_epi16(from.low.a, from.high.a));
  put(4, _mm256_unpackhi_epi16(from.low.a, from.high.a));
  put(8, _mm256_unpacklo_epi16(from.low.b, from.high.b));
  put(12, _mm256_unpackhi_epi16(from.low.b, from.high.b));
}

/// Lanes below `count` as masks of 16-bit numbers.
inline Pair first_lanes(std::size_t count) {
  const std::uint16_t* const from = kFirstLanes.data() + kRansLanes - count;
  return {join(load_half(from), load_half(from + 16)), join(load_half(from + 8), load_half(from + 24))};
}

/// One bit a lane, in lane order, of masks of 16-bit numbers.
inline std::uint32_t lane_bits(const Pair& masks) {
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(masks.a, masks.b)));
}

/// `take` where the mask is set, else `keep`.
inline Pair blend(const Pair& keep, const Pair& take, const Pair& where) {
  return {_mm256_blendv_epi8(keep.a, take.a, where.a), _mm256_blendv_epi8(keep.b, take.b, where.b)};
}

/// Bytes in lane order to 16-bit numbers, as the low or the high byte.
inline Pair as_low_bytes(__m256i bytes) {
  const __m256i zero = _mm256_setzero_si256();
  return {_mm256_unpacklo_epi8(bytes, zero), _mm256_unpackhi_epi8(bytes, zero)};
}
inline Pair as_high_bytes(__m256i bytes) {
  const __m256i zero = _mm256_setzero_si256();
  return {_mm256_unpacklo_epi8(zero, bytes), _mm256_unpackhi_epi8(zero, bytes)};
}

/// Counts of lanes chosen before each quarter, in bytes of words.
struct QuarterOffsets {
  std::size_t at[5];
  explicit QuarterOffsets(std::uint32_t mask)
      : at{0, count(mask & 0xFFU), count(mask & 0xFFFFU), count(mask & 0xFFFFFFU), count(mask)} {}
  static std::size_t count(std::uint32_t mask) { return 2 * static_cast<std::size_t>(std::popcount(mask)); }
};

/// The next words for the chosen lanes; other lanes hold anything. Reads 64 bytes at most.
inline Pair spread_words(const std::byte* from, std::uint32_t mask, const QuarterOffsets& offsets) {
  const auto quarter = [&](std::size_t index) { return load_half(from + offsets.at[index]); };
  const auto move = [&](unsigned index) { return load_half(kMoves.spread[mask >> (8 * index) & 0xFFU].data()); };
  return {_mm256_shuffle_epi8(join(quarter(0), quarter(2)), join(move(0), move(2))),
          _mm256_shuffle_epi8(join(quarter(1), quarter(3)), join(move(1), move(3)))};
}

/// Puts the chosen lanes' words before `end`, in lane order; writes 64 bytes below it at most.
inline void gather_words(const Pair& words, std::uint32_t mask, const QuarterOffsets& offsets, std::byte* end) {
  const auto move = [&](unsigned index) { return load_half(kMoves.gather[mask >> (8 * index) & 0xFFU].data()); };
  const __m256i a = _mm256_shuffle_epi8(words.a, join(move(0), move(2)));
  const __m256i b = _mm256_shuffle_epi8(words.b, join(move(1), move(3)));
  // From the last quarter down: each one's unused front is overwritten by the one before it.
  std::byte* const first = end - offsets.at[4];
  store_half(first + offsets.at[4] - 16, _mm256_extracti128_si256(b, 1));
  store_half(first + offsets.at[3] - 16, _mm256_extracti128_si256(a, 1));
  store_half(first + offsets.at[2] - 16, _mm256_castsi256_si128(b));
  store_half(first + offsets.at[1] - 16, _mm256_castsi256_si128(a));
}

/// kBytes (16, 32 or 64) bytes indexed by bytes below kBytes, 32 of them at once.
template <std::size_t kBytes>
inline __m256i look_up(const std::uint8_t* table, __m256i index) {
  if constexpr (kBytes == 16) {
    return _mm256_shuffle_epi8(twice(table), index);
  } else {
    // The index bit that tells the halves apart, moved to the sign.
    const __m256i upper = _mm256_slli_epi16(index, kBytes == 32 ? 3 : 2);
    return _mm256_blendv_epi8(look_up<kBytes / 2>(table, index), look_up<kBytes / 2>(table + kBytes / 2, index), upper);
  }
}

}  // namespace
}  // namespace sluice::kernels::avx2
