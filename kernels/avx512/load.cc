// Rows of 16-bit values to fp32 columns without rows of fp32 in memory: blocks of 32 channels x 16 tokens are
// transposed as pairs of 16 bits, then widened, turned back and normalised in registers, sixteen tokens of two channels
// at a time. Other types and odd shapes take avx2's steps.
#include "kernels/load.h"

#include <immintrin.h>

#include <algorithm>

#include "kernels/avx512/kernels.h"
#include "kernels/avx512/pair_blocks.h"

namespace sluice::kernels::avx512 {
namespace {

// Sixteen tokens of two neighbouring channels.
struct TwoChannels {
  __m512 even, odd;
};

struct Float16 {
  static TwoChannels widen(__m512i pairs) {
    const auto wide = [](__m512i lower) {
      return _mm512_maskz_cvtph_ps(0xFFFF, _mm512_maskz_cvtepi32_epi16(0xFFFF, lower));
    };
    return {wide(pairs), wide(_mm512_srli_epi32(pairs, 16))};
  }
};

struct BFloat16 {
  static TwoChannels widen(__m512i pairs) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)), _mm512_castsi512_ps(_mm512_and_si512(pairs, upper))};
  }
};

using Stage = __m512i[16];

// Up to 16 tokens of one head.
template <typename Format>
class HeadBlock {
 public:
  HeadBlock(const LoadColumns& load, std::uint64_t first_channel, std::uint64_t at, std::uint64_t tokens,
            float* columns)
      : load_(load),
        first_channel_(first_channel),
        at_(at),
        lanes_(static_cast<__mmask16>((1U << tokens) - 1)),
        columns_(columns) {}

  void put(const Channels& channels, const Stage& block, const Stage& partner_block) const {
    for (std::uint64_t i = 0; i < kBlockTokens; ++i) {
      const std::uint64_t channel = channels.first + 2 * i;
      TwoChannels own = Format::widen(block[i]);
      if (channels.partner != 0) {
        TwoChannels partner = Format::widen(partner_block[i]);
        turn_back(channel, own.even, partner.even);
        turn_back(channel + 1, own.odd, partner.odd);
        store(channel + channels.partner, partner);
      } else if (channel < 2 * load_.pairs() && load_.rope->style == RopeStyle::kPairs) {
        turn_back(channel / 2, own.even, own.odd);
      }
      store(channel, own);
    }
  }

 private:
  void turn_back(std::uint64_t pair, __m512& x, __m512& y) const {
    const std::uint64_t at = pair * load_.range.count + at_;
    const __m512 cosine = _mm512_maskz_loadu_ps(lanes_, load_.angles->cosine.data() + at);
    const __m512 forwards = _mm512_maskz_loadu_ps(lanes_, load_.angles->sine.data() + at);
    const __m512 sine = _mm512_xor_ps(forwards, _mm512_set1_ps(-0.0F));
    const __m512 turned = _mm512_sub_ps(_mm512_mul_ps(x, cosine), _mm512_mul_ps(y, sine));
    y = _mm512_add_ps(_mm512_mul_ps(x, sine), _mm512_mul_ps(y, cosine));
    x = turned;
  }

  void store(std::uint64_t channel, const TwoChannels& values) const {
    store_one(first_channel_ + channel, values.even);
    store_one(first_channel_ + channel + 1, values.odd);
  }

  void store_one(std::uint64_t channel, __m512 values) const {
    if (!load_.means.empty()) {
      const __m512 mean = _mm512_set1_ps(load_.means[channel]), weight = _mm512_set1_ps(load_.weights[channel]);
      values = _mm512_mul_ps(_mm512_sub_ps(values, mean), weight);
    }
    _mm512_mask_storeu_ps(columns_ + channel * load_.range.count + at_, lanes_, values);
  }

  const LoadColumns& load_;
  std::uint64_t first_channel_, at_;
  __mmask16 lanes_;
  float* columns_;
};

// 32 channels from `channel` on of the rows, as a register for every two of them; missing rows are zeros.
void read_block(std::span<const std::byte* const> lines, std::uint64_t channel, Stage& block) {
  for (std::uint64_t t = 0; t < kBlockTokens; ++t) {
    block[t] = t < lines.size() ? _mm512_loadu_si512(lines[t] + 2 * channel) : _mm512_setzero_si512();
  }
  transpose(block);
}

template <typename Format>
void load_as(const PlaneView& plane, const KvShape& shape, const LoadColumns& load, float* columns) {
  const std::uint64_t dim = shape.head_dim.count();
  for (std::uint64_t done = 0; done < load.range.count; done += kBlockTokens) {
    const std::uint64_t tokens = std::min(kBlockTokens, load.range.count - done);
    const std::byte* starts[kBlockTokens];
    for (std::uint64_t t = 0; t < tokens; ++t) starts[t] = plane.row(load.range.first + done + t, 0);
    for (std::uint64_t head = 0; head < shape.kv_heads.count(); ++head) {
      const std::byte* lines[kBlockTokens];
      for (std::uint64_t t = 0; t < tokens; ++t) {
        lines[t] = starts[t] + static_cast<std::ptrdiff_t>(head) * plane.head_stride;
      }
      const HeadBlock<Format> to(load, head * dim, done, tokens, columns);
      for_each_channels(dim, load.pairs(), load.rope, [&](const Channels& channels) {
        Stage block, partner;
        read_block(std::span(lines).first(tokens), channels.first, block);
        if (channels.partner != 0)
          read_block(std::span(lines).first(tokens), channels.first + channels.partner, partner);
        to.put(channels, block, partner);
      });
    }
  }
}

}  // namespace

void load(const PlaneView& plane, const KvShape& shape, const LoadColumns& load, std::span<float> columns,
          std::span<float> scratch) {
  if (!has_pair_blocks(shape, load.pairs(), load.rope)) {
    return avx2_kernels()->load(plane, shape, load, columns, scratch);  // this table stands on that one
  }
  check_load(shape, load, columns, scratch);
  shape.dtype == DType::kF16 ? load_as<Float16>(plane, shape, load, columns.data())
                             : load_as<BFloat16>(plane, shape, load, columns.data());
}

}  // namespace sluice::kernels::avx512
