// Columns in another order, gathered sixteen entries at a time.
#include <immintrin.h>

#include "base/assert.h"
#include "kernels/avx512/kernels.h"
#include "kernels/transpose.h"

namespace sluice::kernels::avx512 {
namespace {

constexpr std::size_t kFloats = 16;

}  // namespace

void reorder(std::span<const float> columns, std::span<const std::uint32_t> from, std::span<float> out) {
  SLUICE_ASSERT(columns.size() == out.size());
  const std::size_t count = from.size();
  for (std::size_t at = 0; at < out.size(); at += count) {
    const float* const column = columns.data() + at;
    float* const to = out.data() + at;
    for (std::size_t i = 0; i < count; i += kFloats) {
      const std::size_t left = count - i;
      const auto lanes = static_cast<__mmask16>(left >= kFloats ? 0xFFFFU : (1U << left) - 1U);
      const __m512i index = _mm512_maskz_loadu_epi32(lanes, from.data() + i);
      _mm512_mask_storeu_ps(to + i, lanes,
                            _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, index, column, sizeof(float)));
    }
  }
}

}  // namespace sluice::kernels::avx512
