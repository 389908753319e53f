// Loops over columns in blocks of a fixed size; the last, incomplete block runs over padded copies (zeros), so that a
// block function never has a case for it.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstring>

namespace sluice::kernels::avx2 {
namespace {

/// block(const In* in, Out* out) for each kBlock values. `out` of the padded block starts as a copy: it may be read.
template <std::size_t kBlock, typename In, typename Out, typename Block>
inline void map_blocks(const In* in, Out* out, std::size_t count, Block block) {
  std::size_t done = 0;
  for (; done + kBlock <= count; done += kBlock) block(in + done, out + done);
  const std::size_t rest = count - done;
  if (rest == 0) return;
  alignas(32) In padded_in[kBlock] = {};
  alignas(32) Out padded_out[kBlock] = {};
  std::memcpy(padded_in, in + done, rest * sizeof(In));
  std::memcpy(padded_out, out + done, rest * sizeof(Out));
  block(padded_in, padded_out);
  std::memcpy(out + done, padded_out, rest * sizeof(Out));
}

/// 32 bytes from and to any address.
inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
/// The other way.
inline void store(void* to, __m256i value) { _mm256_storeu_si256(static_cast<__m256i*>(to), value); }

/// Two registers of 16-bit numbers to bytes, in order, saturated as unsigned.
inline __m256i pack_bytes(__m256i low, __m256i high) {
  return _mm256_permute4x64_epi64(_mm256_packus_epi16(low, high), 0xD8);
}
/// Two registers of 32-bit numbers to 16 bits, in order, saturated.
inline __m256i pack_words(__m256i low, __m256i high) {
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
}

}  // namespace
}  // namespace sluice::kernels::avx2
