// Laws of whole units through encoder and decoder, over shapes, dtypes, rotations and paging.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "codec/decoder.h"
#include "codec/encoder.h"
#include "codec/frame.h"
#include "tests/unit/codec/paged_unit.h"

namespace sluice::codec {
namespace {

using kernels::DType;
using kernels::KvShape;
using kernels::RopeStyle;
using Bytestring = std::vector<std::byte>;

constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBf16, DType::kE4m3, DType::kE5m2};
constexpr std::uint64_t kTokenCounts[] = {1, 2, 31, 32, 33, 255, 256};

KvShape shape_of(std::uint64_t tokens, std::uint64_t heads, std::uint64_t dim, DType dtype) {
  return {.layers = Layers(2),
          .tokens = Tokens(tokens),
          .kv_heads = Heads(heads),
          .head_dim = HeadDim(dim),
          .dtype = dtype};
}

struct Codec {
  Encoder encoder = *Encoder::open(kernels::ref_kernels(), {});
  Decoder decoder = *Decoder::open(kernels::ref_kernels());
};

std::vector<Bytestring> encode_nested(Encoder& encoder, const PagedUnit& unit, const UnitContext& context) {
  Bytestring out(Encoder::max_nested_size(unit.shape()).count());
  const Result<EncodedUnit> encoded = encoder.encode(unit.view(), context, out);
  EXPECT_TRUE(encoded.has_value());
  std::vector<Bytestring> frames;
  for (const EncodedPart& part : encoded->parts()) {
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(part.offset.count());
    frames.emplace_back(first, first + static_cast<std::ptrdiff_t>(part.size.count()));
  }
  return frames;
}

Result<void> decode(Decoder& decoder, std::span<const Bytestring> frames, const UnitContext& context,
                    const PagedUnit& out) {
  std::vector<std::span<const std::byte>> spans(frames.begin(), frames.end());
  return decoder.decode(spans, out.shape(), context, out.writable());
}

double error_of(const PagedUnit& original, const PagedUnit& decoded) {
  const std::vector<float> a = original.values(), b = decoded.values();
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

UnitContext context_of(RopeStyle style, std::uint64_t dims, std::uint64_t first, std::uint64_t total) {
  return {.rope = {.style = style, .dims = static_cast<std::uint32_t>(dims), .base = 100000.0},
          .first_position = TokenIndex(first),
          .request_tokens = Tokens(total)};
}

// One unit through all three prefixes: each decodes, errors shrink, canaries stay, sinks are exact.
void check_nested(Codec& codec, const KvShape& shape, const UnitContext& context, const Paging& paging) {
  SCOPED_TRACE(testing::Message() << "tokens " << shape.tokens.count() << " heads " << shape.kv_heads.count() << " dim "
                                  << shape.head_dim.count() << " dtype " << static_cast<int>(shape.dtype));
  PagedUnit original(shape, {});
  fill_like_cache(original, 7);
  const std::vector<Bytestring> frames = encode_nested(codec.encoder, original, context);
  double before = 1e30;
  for (std::size_t stages = 1; stages <= frames.size(); ++stages) {
    PagedUnit decoded(shape, paging);
    ASSERT_TRUE(decode(codec.decoder, std::span(frames).first(stages), context, decoded).has_value());
    EXPECT_TRUE(decoded.canaries_intact());
    const double error = error_of(original, decoded);
    const bool coarse_dtype = shape.dtype == DType::kE4m3 || shape.dtype == DType::kE5m2;
    EXPECT_LE(error, coarse_dtype ? before * 1.1 : before * 0.6 + 1e-30);
    before = error;
    const std::vector<float> a = original.values(), b = decoded.values();
    if (context.first_position.value() != 0) continue;
    for (std::size_t i = 0; i < shape.row_values(); ++i) ASSERT_EQ(a[i], b[i]);
  }
}

TEST(Nested, EveryPrefixDecodesAndTheErrorShrinks) {
  Codec codec;
  for (const std::uint64_t tokens : kTokenCounts) {
    for (const DType dtype : kDTypes) {
      check_nested(codec, shape_of(tokens, 3, 64, dtype), context_of(RopeStyle::kPairs, 64, 0, 600), {});
    }
  }
}

TEST(Nested, EveryHeadLayoutRotationAndPaging) {
  Codec codec;
  for (const std::uint64_t dim : {64, 96, 128, 256}) {
    for (const std::uint64_t heads : {1, 4}) {
      for (const RopeStyle style : {RopeStyle::kNone, RopeStyle::kPairs, RopeStyle::kHalves}) {
        const UnitContext context = context_of(style, style == RopeStyle::kNone ? 0 : dim / 2, 256, 320);
        check_nested(codec, shape_of(64, heads, dim, DType::kBf16), context, {7, 3, 5});
      }
    }
  }
}

TEST(Nested, LayersWithALocalBaseTurnByIt) {
  Codec codec;
  KvShape shape = shape_of(64, 1, 32, DType::kF16);
  shape.layers = Layers(1);
  PagedUnit original(shape, {}), decoded(shape, {}), wanted(shape, {});
  fill_like_cache(original, 5);
  UnitContext several = context_of(RopeStyle::kHalves, 32, 512, 600);
  several.rope.local_base = 100.0;
  several.rope.local_period = 3;
  for (std::uint32_t layer = 0; layer < 7; ++layer) {
    several.first_layer = LayerIndex(layer);
    UnitContext alone = several;
    alone.rope = {.style = RopeStyle::kHalves, .dims = 32, .base = (layer + 1) % 3 == 0 ? 100000.0 : 100.0};
    const auto frames = encode_nested(codec.encoder, original, several);
    const auto expected = encode_nested(codec.encoder, original, alone);
    const auto payload = [](const Bytestring& frame) { return std::span(frame).subspan(kFrameHeaderSize); };
    EXPECT_TRUE(std::ranges::equal(payload(frames[0]), payload(expected[0]))) << layer;
    ASSERT_TRUE(decode(codec.decoder, frames, several, decoded));
    ASSERT_TRUE(decode(codec.decoder, expected, alone, wanted));
    EXPECT_EQ(decoded.bytes(), wanted.bytes()) << layer;
    EXPECT_EQ(decode(codec.decoder, frames, alone, decoded).error().code, ErrorCode::kBadField);
  }
}

TEST(Nested, NewestTokensAreFiner) {
  Codec codec;
  const KvShape shape = shape_of(256, 2, 64, DType::kF32);
  PagedUnit original(shape, {}), newest(shape, {}), older(shape, {});
  fill_like_cache(original, 11);
  const UnitContext at_end = context_of(RopeStyle::kNone, 0, 256, 512),
                    before = context_of(RopeStyle::kNone, 0, 256, 9999);
  const auto fine = encode_nested(codec.encoder, original, at_end);
  const auto plain = encode_nested(codec.encoder, original, before);
  ASSERT_TRUE(decode(codec.decoder, std::span(fine).first(1), at_end, newest));
  ASSERT_TRUE(decode(codec.decoder, std::span(plain).first(1), before, older));
  EXPECT_LT(error_of(original, newest), error_of(original, older));
  EXPECT_GT(fine[0].size(), plain[0].size());
}

TEST(Nested, ExtremeValuesComeBackWithinTheStep) {
  Codec codec;
  const KvShape shape = shape_of(64, 2, 64, DType::kF32);
  const UnitContext context = context_of(RopeStyle::kNone, 0, 64, 640);
  for (const float scale : {0.0F, 1e-30F, 1.0F, 1e15F}) {
    PagedUnit original(shape, {}), decoded(shape, {});
    std::vector<float> rows(64 * 128);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i == 777 ? scale * 300 : scale * static_cast<float>(i % 7);
    for (const auto& plane : original.writable().k) kernels::ref_kernels().scatter(rows, shape, {0, 64}, plane);
    for (const auto& plane : original.writable().v) kernels::ref_kernels().scatter(rows, shape, {0, 64}, plane);
    const auto frames = encode_nested(codec.encoder, original, context);
    ASSERT_TRUE(decode(codec.decoder, frames, context, decoded));
    EXPECT_LE(error_of(original, decoded), 3 * scale);
  }
}

TEST(Nested, ValuesThatAreNotFiniteAreRefusedByTheEncoder) {
  Codec codec;
  PagedUnit unit(shape_of(64, 1, 64, DType::kF16), {});
  fill_with_noise(unit, 3);
  Bytestring out(Encoder::max_nested_size(unit.shape()).count());
  const auto encoded = codec.encoder.encode(unit.view(), context_of(RopeStyle::kNone, 0, 64, 128), out);
  ASSERT_FALSE(encoded.has_value());
  EXPECT_EQ(encoded.error().code, ErrorCode::kUnsupported);
}

TEST(Lossless, IsBitExactOnCachesAndOnNoise) {
  Codec codec;
  for (const std::uint64_t tokens : kTokenCounts) {
    for (const DType dtype : kDTypes) {
      for (const bool noise : {false, true}) {
        PagedUnit original(shape_of(tokens, 3, 64, dtype), {}), decoded(original.shape(), {5, 1, 9});
        noise ? fill_with_noise(original, 5) : fill_like_cache(original, 5);
        const UnitContext context = context_of(RopeStyle::kPairs, 64, 0, tokens);
        std::vector<Bytestring> frames(1);
        frames[0].resize(Encoder::max_encoded_size(original.shape(), Part::kLossless).count());
        const auto size = codec.encoder.encode_lossless(original.view(), context, frames[0]);
        ASSERT_TRUE(size.has_value());
        frames[0].resize(size->count());
        ASSERT_TRUE(decode(codec.decoder, frames, context, decoded).has_value());
        EXPECT_EQ(original.bytes(), decoded.bytes());
        EXPECT_TRUE(decoded.canaries_intact());
        if (!noise && tokens >= 255) {
          EXPECT_LT(frames[0].size(), original.bytes().size() * 94 / 100) << static_cast<int>(dtype);
        }
      }
    }
  }
}

TEST(Raw, IsTheRowsAndAHeader) {
  Codec codec;
  for (const DType dtype : kDTypes) {
    PagedUnit original(shape_of(33, 2, 96, dtype), {4, 2, 0}), decoded(original.shape(), {});
    fill_with_noise(original, 9);
    const UnitContext context = context_of(RopeStyle::kHalves, 96, 256, 300);
    std::vector<Bytestring> frames(1, Bytestring(Encoder::max_encoded_size(original.shape(), Part::kRaw).count()));
    ASSERT_TRUE(codec.encoder.encode_raw(original.view(), context, frames[0]).has_value());
    ASSERT_TRUE(decode(codec.decoder, frames, context, decoded).has_value());
    EXPECT_EQ(original.bytes(), decoded.bytes());
    EXPECT_EQ(frames[0].size(), kFrameHeaderSize + original.shape().raw_bytes().count());
  }
}

TEST(Int8, IsWithinHalfAStep) {
  Codec codec;
  PagedUnit original(shape_of(33, 3, 64, DType::kF16), {}), decoded(original.shape(), {3, 1, 1});
  fill_like_cache(original, 4);
  const UnitContext context = context_of(RopeStyle::kPairs, 64, 0, 33);
  std::vector<Bytestring> frames(1, Bytestring(Encoder::max_encoded_size(original.shape(), Part::kInt8).count()));
  ASSERT_TRUE(codec.encoder.encode_int8(original.view(), context, frames[0]).has_value());
  ASSERT_TRUE(decode(codec.decoder, frames, context, decoded).has_value());
  EXPECT_TRUE(decoded.canaries_intact());
  const std::vector<float> a = original.values(), b = decoded.values();
  for (std::size_t row = 0; row < a.size(); row += 64) {
    float largest = 0;
    for (std::size_t i = row; i < row + 64; ++i) largest = std::max(largest, std::fabs(a[i]));
    for (std::size_t i = row; i < row + 64; ++i) EXPECT_LE(std::fabs(a[i] - b[i]), largest * 0.0046F);
  }
}

TEST(Decoder, DamageOfAnyHeaderByteIsATypedErrorAndLeavesPagesAlone) {
  Codec codec;
  PagedUnit original(shape_of(40, 1, 64, DType::kF16), {});
  fill_like_cache(original, 2);
  const UnitContext context = context_of(RopeStyle::kPairs, 64, 0, 40);
  const auto good = encode_nested(codec.encoder, original, context);
  PagedUnit out(original.shape(), {});
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the memory changes
  const Bytestring untouched = out.memory();
  for (std::size_t stage = 0; stage < good.size(); ++stage) {
    for (std::size_t bit = 0; bit < 8 * kFrameHeaderSize; ++bit) {
      auto bad = good;
      bad[stage][bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
      EXPECT_FALSE(decode(codec.decoder, bad, context, out).has_value()) << stage << " " << bit;
    }
    for (std::size_t size = 0; size < good[stage].size(); size += 1 + size / 8) {
      auto bad = good;
      bad[stage].resize(size);
      EXPECT_FALSE(decode(codec.decoder, bad, context, out).has_value()) << size;
    }
  }
  EXPECT_EQ(out.memory(), untouched);
}

// A damaged payload under a digest that matches: what a broken or hostile sender could make.
TEST(Decoder, ResealedDamageNeverWritesPagesOnError) {
  Codec codec;
  std::mt19937 random(1234);
  PagedUnit original(shape_of(40, 2, 64, DType::kF16), {});
  fill_like_cache(original, 2);
  const UnitContext context = context_of(RopeStyle::kPairs, 64, 0, 40);
  const auto good = encode_nested(codec.encoder, original, context);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<Bytestring> bad(good.begin(), good.begin() + 1);
    for (int flips = 0; flips < 3; ++flips) {
      const std::size_t at = kFrameHeaderSize + random() % (bad[0].size() - kFrameHeaderSize);
      bad[0][at] ^= static_cast<std::byte>(1U << random() % 8);
    }
    FrameHeader header = parse_frame(kernels::ref_kernels(), good[0])->header;
    seal_frame(kernels::ref_kernels(), header, bad[0]);
    PagedUnit out(original.shape(), {});
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the memory changes
    const Bytestring untouched = out.memory();
    const auto result = decode(codec.decoder, bad, context, out);
    if (result.has_value()) continue;
    ++refused;
    EXPECT_EQ(out.memory(), untouched);
  }
  EXPECT_GT(refused, 200);
}

TEST(Decoder, StagesOfAnotherUnitAreRefused) {
  Codec codec;
  PagedUnit one(shape_of(40, 1, 64, DType::kF16), {}), two(one.shape(), {});
  fill_like_cache(one, 2);
  fill_like_cache(two, 3);
  const UnitContext context = context_of(RopeStyle::kPairs, 64, 0, 40);
  auto frames = encode_nested(codec.encoder, one, context);
  frames[1] = encode_nested(codec.encoder, two, context)[1];
  EXPECT_EQ(decode(codec.decoder, frames, context, one).error().code, ErrorCode::kBadField);
  UnitContext elsewhere = context;
  elsewhere.first_position = TokenIndex(256);
  EXPECT_EQ(decode(codec.decoder, std::span(frames).first(1), elsewhere, one).error().code, ErrorCode::kBadField);
}

}  // namespace
}  // namespace sluice::codec
