// The 32 lanes of a stream in two registers: lower and upper halves of the states, 16 bits a lane, in lane order. A
// product of frequency and state then takes 16-bit multiplications for all lanes at once, and words move between
// stream and lanes by one expansion or compression.
#pragma once

#include <immintrin.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/rans.h"

namespace sluice::kernels::avx512 {
namespace {

/// 32 words each.
struct LaneStates {
  __m512i low, high;
};

/// Word k of the lower half of a pair of registers at 2k + first.
constexpr std::array<std::uint16_t, kRansLanes> make_every_other(std::uint16_t first) {
  std::array<std::uint16_t, kRansLanes> index{};
  for (std::uint16_t k = 0; k < kRansLanes; ++k) index[k] = static_cast<std::uint16_t>(2 * k + first);
  return index;
}
/// Words of two registers in turns, from word `first` of each.
constexpr std::array<std::uint16_t, kRansLanes> make_in_turns(std::uint16_t first) {
  std::array<std::uint16_t, kRansLanes> index{};
  for (std::uint16_t k = 0; k < kRansLanes; ++k) {
    index[k] = static_cast<std::uint16_t>(first + k / 2 + (k % 2) * kRansLanes);
  }
  return index;
}
alignas(64) inline constexpr std::array<std::uint16_t, kRansLanes> kLowerHalves = make_every_other(0);
alignas(64) inline constexpr std::array<std::uint16_t, kRansLanes> kUpperHalves = make_every_other(1);
alignas(64) inline constexpr std::array<std::uint16_t, kRansLanes> kFirstStates = make_in_turns(0);
alignas(64) inline constexpr std::array<std::uint16_t, kRansLanes> kLastStates = make_in_turns(16);

/// 64 bytes from any address.
inline __m512i load_whole(const void* from) { return _mm512_loadu_si512(from); }

/// From and to the states of a reader or writer.
inline LaneStates load_states(const std::array<std::uint32_t, kRansLanes>& states) {
  const __m512i first = load_whole(&states[0]), last = load_whole(&states[16]);
  return {_mm512_permutex2var_epi16(first, load_whole(kLowerHalves.data()), last),
          _mm512_permutex2var_epi16(first, load_whole(kUpperHalves.data()), last)};
}

/// Inverse of load_states.
inline void store_states(const LaneStates& from, std::array<std::uint32_t, kRansLanes>& states) {
  _mm512_storeu_si512(&states[0], _mm512_permutex2var_epi16(from.low, load_whole(kFirstStates.data()), from.high));
  _mm512_storeu_si512(&states[16], _mm512_permutex2var_epi16(from.low, load_whole(kLastStates.data()), from.high));
}

/// Bit i set for i < count.  Precondition: count <= 32.
inline __mmask32 first_lanes(std::size_t count) { return static_cast<__mmask32>((std::uint64_t{1} << count) - 1); }

/// Words to bytes, cut. The form with a mask, as GCC 12 warns about its own header for the one without.
inline __m256i to_bytes(__m512i words) { return _mm512_maskz_cvtepi16_epi8(~__mmask32{0}, words); }

/// Bytes of the words that the chosen lanes take.
inline std::size_t words_size(__mmask32 mask) { return 2 * static_cast<std::size_t>(std::popcount(mask)); }

/// First entry of each lane's context in a RansContextLookup.
inline __m512i first_entry(__m512i contexts) {
  static_assert(kRansContextSymbols == 4);
  return _mm512_slli_epi16(contexts, 2);
}

/// Contexts of up to 32 symbols as words.
inline __m512i load_contexts(const std::uint8_t* from, __mmask32 lanes) {
  return _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(lanes, from));
}

}  // namespace
}  // namespace sluice::kernels::avx512
