// Laws of predicted sizes: close to what is then coded, over storage formats, shapes and places in a request; never
// beyond what a frame can take; values that the encoder refuses are refused here alike.
#include "codec/rate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/codec/paged_unit.h"
#include "tests/unit/codec/tiny_profile.h"

namespace sluice::codec {
namespace {

using kernels::DType;
using Bytestring = std::vector<std::byte>;

constexpr double kBound = 0.08;

const kernels::KernelTable& table() { return kernels::ref_kernels(); }

kernels::KvShape shape_of(std::uint64_t tokens, DType dtype) {
  return {.layers = Layers(2), .tokens = Tokens(tokens), .kv_heads = Heads(3), .head_dim = HeadDim(64), .dtype = dtype};
}

UnitContext context_at(std::uint64_t first, std::uint64_t total) {
  return {.rope = {.style = kernels::RopeStyle::kHalves, .dims = 64, .base = 10000.0},
          .first_position = TokenIndex(first),
          .request_tokens = Tokens(total)};
}

double error_of(Bytes told, Bytes size) {
  return std::fabs(static_cast<double>(told.count()) / static_cast<double>(size.count()) - 1);
}

TEST(Rate, SizesAreKnownBeforeCoding) {
  RatePredictor predictor = *RatePredictor::open(table(), {});
  Encoder encoder = *Encoder::open(table(), {});
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16, DType::kE4m3}) {
    for (const auto& [tokens, first, total] : {std::tuple(256, 0, 900), {256, 256, 900}, {132, 768, 900}}) {
      SCOPED_TRACE(testing::Message() << tokens << " tokens of dtype " << static_cast<int>(dtype));
      const auto count = static_cast<std::uint64_t>(tokens);
      PagedUnit unit(shape_of(count, dtype), {});
      fill_like_cache(unit, 3);
      const UnitContext context = context_at(static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(total));
      Bytestring out(Encoder::max_nested_size(unit.shape()).count() +
                     Encoder::max_encoded_size(unit.shape(), Part::kLossless).count());
      ASSERT_TRUE(predictor.measure(unit.view(), context));
      const StageSizes told = predictor.stages(0);
      const EncodedUnit coded = *encoder.encode(unit.view(), context, out);
      ASSERT_EQ(told.stages, coded.stages);
      for (std::size_t i = 0; i < coded.stages; ++i)
        EXPECT_LE(error_of(told.parts()[i], coded.parts()[i].size), kBound);
      EXPECT_LE(error_of(predictor.lossless(), *encoder.encode_lossless(unit.view(), context, out)), kBound);
    }
  }
}

TEST(Rate, FinerStepsCostMore) {
  PagedUnit unit(shape_of(256, DType::kF16), {});
  fill_like_cache(unit, 5);
  Bytes before;
  for (const float step : {4.0F, 2.0F, 1.0F, 0.5F, 0.25F}) {
    RatePredictor predictor = *RatePredictor::open(table(), {.key_step = step, .value_step = step});
    ASSERT_TRUE(predictor.measure(unit.view(), context_at(0, 256)));
    EXPECT_GT(predictor.stages(0).all[0], before);
    before = predictor.stages(0).all[0];
  }
}

TEST(Rate, ExtremeUnitsHaveSizes) {
  RatePredictor predictor = *RatePredictor::open(table(), {});
  for (const std::uint64_t tokens : {1, 2, 3, 33}) {
    const PagedUnit zeros(shape_of(tokens, DType::kF16), {});
    ASSERT_TRUE(predictor.measure(zeros.view(), context_at(0, tokens)));
    const auto stages = predictor.stages(0);
    for (const Bytes size : stages.parts()) {
      EXPECT_GE(size, Bytes(kFrameHeaderSize));
      EXPECT_LE(size, Encoder::max_nested_size(zeros.shape()));
    }
    EXPECT_LE(predictor.lossless(), Encoder::max_encoded_size(zeros.shape(), Part::kLossless));
  }
}

TEST(Rate, RefusesWhatTheEncoderRefuses) {
  PagedUnit noise(shape_of(64, DType::kF16), {});
  fill_with_noise(noise, 3);
  RatePredictor predictor = *RatePredictor::open(table(), {});
  const Result<void> measured = predictor.measure(noise.view(), context_at(0, 64));
  ASSERT_FALSE(measured.has_value());
  EXPECT_EQ(measured.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(RatePredictor::open(table(), {.key_step = 0}).error().code, ErrorCode::kInvalidArgument);

  const Profile profile = *Profile::parse(table(), *write_profile(table(), tiny_contents({})));
  RatePredictor other = *RatePredictor::open(table(), {.profile = &profile});
  PagedUnit unit(shape_of(64, DType::kF16), {});
  EXPECT_EQ(other.measure(unit.view(), context_at(0, 64)).error().code, ErrorCode::kProfileMismatch);
}

}  // namespace
}  // namespace sluice::codec
