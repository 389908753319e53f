// Blocks of 32 channels x 16 tokens of 16-bit rows: a register a token, which a transposition of 32-bit pairs turns
// into a register for every two channels. Shared by loading and restoration.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/rope.h"
#include "kernels/shape.h"

namespace sluice::kernels::avx512 {
namespace {

constexpr std::uint64_t kBlockChannels = 32;
constexpr std::uint64_t kBlockTokens = 16;

/// rows[i] holds 16 numbers; afterwards those numbered i of every row.
inline void transpose(__m512i (&rows)[16]) {
  __m512i pairs[16], fours[16];
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512i even_first = _mm512_shuffle_i32x4(fours[i], fours[4 + i], 0x88);
    const __m512i odd_first = _mm512_shuffle_i32x4(fours[i], fours[4 + i], 0xDD);
    const __m512i even_last = _mm512_shuffle_i32x4(fours[8 + i], fours[12 + i], 0x88);
    const __m512i odd_last = _mm512_shuffle_i32x4(fours[8 + i], fours[12 + i], 0xDD);
    rows[i] = _mm512_shuffle_i32x4(even_first, even_last, 0x88);
    rows[4 + i] = _mm512_shuffle_i32x4(odd_first, odd_last, 0x88);
    rows[8 + i] = _mm512_shuffle_i32x4(even_first, even_last, 0xDD);
    rows[12 + i] = _mm512_shuffle_i32x4(odd_first, odd_last, 0xDD);
  }
}

/// Channels [first, end) of a head, and as many `partner` further on that they turn with; 0: none.
struct Channels {
  std::uint64_t first = 0, end = 0;
  std::uint64_t partner = 0;
};

/// visit(channels) for each block of a head, those that turn with another one together with it.
template <typename Visit>
inline void for_each_channels(std::uint64_t head_dim, std::uint64_t pairs, const RopeSpec* rope, Visit visit) {
  const std::uint64_t half = pairs != 0 && rope->style == RopeStyle::kHalves ? pairs : 0;
  for (std::uint64_t channel = 0; channel < head_dim; channel += kBlockChannels) {
    if (channel >= half && channel < 2 * half) continue;  // with their partners
    visit(Channels{channel, channel + kBlockChannels, channel < half ? half : 0});
  }
}

/// Rows of 16-bit values whose heads are whole blocks that turn with whole blocks, or inside of one.
inline bool has_pair_blocks(const KvShape& shape, std::uint64_t pairs, const RopeSpec* rope) {
  if (shape.dtype != DType::kF16 && shape.dtype != DType::kBf16) return false;
  if (shape.head_dim.count() % kBlockChannels != 0) return false;
  return pairs == 0 || rope->style == RopeStyle::kPairs || pairs % kBlockChannels == 0;
}

}  // namespace
}  // namespace sluice::kernels::avx512
