// Columns to rows of 16-bit values without fp32 rows in memory: 32 tokens of two channels are scaled, turned
// and narrowed in registers and kept as pairs of 16 bits, token by token; blocks of 32 channels x 16 tokens are then
// transposed and stored, a cache line a token. Other types and odd shapes take avx2's steps.
#include "kernels/restore.h"

#include <immintrin.h>

#include <algorithm>

#include "base/assert.h"
#include "kernels/avx512/kernels.h"
#include "kernels/avx512/pair_blocks.h"

namespace sluice::kernels::avx512 {
namespace {

// 32 tokens of a channel.
struct Column {
  __m512 low, high;
};

// Where columns come from: 32 entries of a channel, those of `lanes`.
struct Indices {
  static Column load(const RestoreRows& rows, std::uint64_t at, __mmask32 lanes) {
    const __m512i indices = _mm512_maskz_loadu_epi16(lanes, rows.indices.data() + at);
    const auto value = [](__m256i half) { return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(half)); };
    return {value(_mm512_castsi512_si256(indices)), value(_mm512_extracti64x4_epi64(indices, 1))};
  }
};
struct Values {
  static Column load(const RestoreRows& rows, std::uint64_t at, __mmask32 lanes) {
    const float* const from = rows.values.data() + at;
    return {_mm512_maskz_loadu_ps(static_cast<__mmask16>(lanes), from),
            _mm512_maskz_loadu_ps(static_cast<__mmask16>(lanes >> 16U), from + 16)};
  }
};

// Two fp32 of each token to 16 bits, `even` in the lower half.
struct Float16 {
  static __m512i join(__m512 even, __m512 odd) {
    alignas(64) static constexpr std::uint16_t kInTurns[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                               21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                               11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i words = _mm512_inserti64x4(_mm512_castsi256_si512(narrow(even)), narrow(odd), 1);
    return _mm512_permutexvar_epi16(_mm512_load_si512(kInTurns), words);
  }
  static __m256i narrow(__m512 values) {
    return _mm512_maskz_cvtps_ph(~__mmask16{0}, values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
};

struct BFloat16 {
  static __m512i join(__m512 even, __m512 odd) {
    return _mm512_mask_blend_epi16(0xAAAAAAAAU, _mm512_srli_epi32(rounded(even), 16), rounded(odd));
  }
  // The result in the upper half.
  static __m512i rounded(__m512 values) {
    const __m512i code = _mm512_castps_si512(values);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(code, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(code, _mm512_set1_epi32(0x7FFF)), odd);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(sum, is_nan, code, _mm512_set1_epi32(0x400000));
  }
};

// One head of a strip of up to 32 tokens.
template <typename Format, typename Source>
class HeadStrip {
 public:
  // at: column entry of the first token; stage: [head_dim / 2][kRestoreStrip] pairs.
  HeadStrip(const RestoreRows& rows, std::uint64_t first_channel, std::uint64_t at, std::uint64_t tokens,
            std::uint32_t* stage)
      : rows_(rows),
        first_channel_(first_channel),
        at_(at),
        tokens_(tokens),
        lanes_(static_cast<__mmask32>((std::uint64_t{1} << tokens) - 1)),
        stage_(stage) {}

  void fill(const Channels& channels) const {
    for (std::uint64_t channel = channels.first; channel < channels.end; channel += 2) {
      Column even = load(channel), odd = load(channel + 1);
      if (channels.partner != 0) {
        Column even_partner = load(channel + channels.partner), odd_partner = load(channel + 1 + channels.partner);
        turn(channel, even, even_partner);
        turn(channel + 1, odd, odd_partner);
        put(channel + channels.partner, even_partner, odd_partner);
      } else if (channel < 2 * rows_.pairs() && rows_.rope->style == RopeStyle::kPairs) {
        turn(channel / 2, even, odd);
      }
      put(channel, even, odd);
    }
  }

  // Stores whole blocks of channels [first, end); lines: this head's rows of the strip.
  void place(std::uint64_t first, std::uint64_t end, std::byte* const* lines) const {
    for (std::uint64_t channel = first; channel < end; channel += kBlockChannels) {
      for (std::uint64_t token = 0; token < tokens_; token += kBlockTokens) {
        const std::uint32_t* const block = stage_ + channel / 2 * kRestoreStrip + token;
        __m512i rows[16];
        for (std::uint64_t i = 0; i < 16; ++i) rows[i] = _mm512_loadu_si512(block + i * kRestoreStrip);
        transpose(rows);
        const std::uint64_t count = std::min(kBlockTokens, tokens_ - token);
        for (std::uint64_t i = 0; i < count; ++i) _mm512_storeu_si512(lines[token + i] + 2 * channel, rows[i]);
      }
    }
  }

 private:
  Column load(std::uint64_t channel) const {
    const std::uint64_t number = first_channel_ + channel;
    const Column read = Source::load(rows_, number * rows_.stride + at_, lanes_);
    const __m512 scale = _mm512_set1_ps(rows_.scales[number]), mean = _mm512_set1_ps(rows_.means[number]);
    return {_mm512_add_ps(_mm512_mul_ps(read.low, scale), mean), _mm512_add_ps(_mm512_mul_ps(read.high, scale), mean)};
  }

  void turn(std::uint64_t pair, Column& first, Column& second) const {
    const float* const cosine = rows_.angles->cosine.data() + pair * rows_.stride + at_;
    const float* const sine = rows_.angles->sine.data() + pair * rows_.stride + at_;
    const auto half = [](__m512& x, __m512& y, __m512 c, __m512 s) {
      const __m512 turned = _mm512_sub_ps(_mm512_mul_ps(x, c), _mm512_mul_ps(y, s));
      y = _mm512_add_ps(_mm512_mul_ps(x, s), _mm512_mul_ps(y, c));
      x = turned;
    };
    const auto low = static_cast<__mmask16>(lanes_), high = static_cast<__mmask16>(lanes_ >> 16U);
    half(first.low, second.low, _mm512_maskz_loadu_ps(low, cosine), _mm512_maskz_loadu_ps(low, sine));
    half(first.high, second.high, _mm512_maskz_loadu_ps(high, cosine + 16), _mm512_maskz_loadu_ps(high, sine + 16));
  }

  void put(std::uint64_t channel, const Column& even, const Column& odd) const {
    std::uint32_t* const to = stage_ + channel / 2 * kRestoreStrip;
    _mm512_storeu_si512(to, Format::join(even.low, odd.low));
    _mm512_storeu_si512(to + kBlockTokens, Format::join(even.high, odd.high));
  }

  const RestoreRows& rows_;
  std::uint64_t first_channel_, at_, tokens_;
  __mmask32 lanes_;
  std::uint32_t* stage_;
};

// Where the rows of a head's strip begin.
void find_lines(const RestoreRows& rows, const MutablePlaneView& plane, std::uint64_t done, std::uint64_t head,
                std::span<std::byte*> lines) {
  if (!rows.row_of.empty()) {
    for (std::uint64_t t = 0; t < lines.size(); ++t) {
      lines[t] = plane.row(rows.range.first + rows.row_of[done + t], head);
    }
    return;
  }
  const std::uint64_t first = rows.range.first + done;
  std::uint64_t block = first / plane.block_tokens, within = first % plane.block_tokens;
  const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(head) * plane.head_stride;
  for (std::byte*& line : lines) {
    line = plane.blocks[block] + static_cast<std::ptrdiff_t>(within) * plane.token_stride + offset;
    if (++within == plane.block_tokens) within = 0, ++block;
  }
}

// Everything of some channels of a head, token after token: columns are read from end to end.
template <typename Format, typename Source>
void restore_channels(const RestoreRows& rows, const MutablePlaneView& plane, std::uint64_t head, std::uint64_t dim,
                      const Channels& channels, std::uint32_t* stage) {
  for (std::uint64_t done = 0; done < rows.range.count; done += kRestoreStrip) {
    const std::uint64_t tokens = std::min(kRestoreStrip, rows.range.count - done);
    std::byte* lines[kRestoreStrip];
    find_lines(rows, plane, done, head, std::span(lines).first(tokens));
    const HeadStrip<Format, Source> strip(rows, head * dim, rows.first + done, tokens, stage);
    strip.fill(channels);
    strip.place(channels.first, channels.end, lines);
    if (channels.partner != 0) strip.place(channels.first + channels.partner, channels.end + channels.partner, lines);
  }
}

template <typename Format, typename Source>
void restore_as(const RestoreRows& rows, const KvShape& shape, const MutablePlaneView& plane, std::uint32_t* stage) {
  const std::uint64_t dim = shape.head_dim.count();
  for (std::uint64_t head = 0; head < shape.kv_heads.count(); ++head) {
    for_each_channels(dim, rows.pairs(), rows.rope, [&](const Channels& channels) {
      restore_channels<Format, Source>(rows, plane, head, dim, channels, stage);
    });
  }
}

}  // namespace

void restore(const RestoreRows& rows, const KvShape& shape, const MutablePlaneView& plane, std::span<float> scratch) {
  if (!has_pair_blocks(shape, rows.pairs(), rows.rope)) {
    return avx2_kernels()->restore(rows, shape, plane, scratch);  // this table stands on that one
  }
  check_restore(rows, shape, scratch);
  auto* const stage = reinterpret_cast<std::uint32_t*>(scratch.data());
  const auto from = [&]<typename Source>(Source) {
    shape.dtype == DType::kF16 ? restore_as<Float16, Source>(rows, shape, plane, stage)
                               : restore_as<BFloat16, Source>(rows, shape, plane, stage);
  };
  rows.values.empty() ? from(Indices()) : from(Values());
}

}  // namespace sluice::kernels::avx512
