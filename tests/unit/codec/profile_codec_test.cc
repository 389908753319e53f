// Laws of units that are coded with a profile: every prefix of stages decodes to what the steps promise, tiers and
// shapes alike; the wrong profile, place or stage is refused before anything is written.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "codec/decoder.h"
#include "codec/encoder.h"
#include "codec/profile_signal.h"
#include "tests/unit/codec/paged_unit.h"
#include "tests/unit/codec/tiny_profile.h"

namespace sluice::codec {
namespace {

using kernels::DType;
using kernels::KvShape;
using kernels::RopeStyle;
using Bytestring = std::vector<std::byte>;

const kernels::KernelTable& table() { return kernels::ref_kernels(); }

Profile profile_of(const TinyProfile& tiny) {
  return *Profile::parse(table(), *write_profile(table(), tiny_contents(tiny)));
}

KvShape shape_of(const Profile& profile, std::uint64_t layers, std::uint64_t tokens) {
  return {.layers = Layers(layers),
          .tokens = Tokens(tokens),
          .kv_heads = profile.contents().kv_heads,
          .head_dim = profile.contents().head_dim,
          .dtype = DType::kF32};
}

Result<std::vector<Bytestring>> encode(const Profile& profile, std::size_t level, const PagedUnit& unit,
                                       const UnitContext& context) {
  Encoder encoder = *Encoder::open(table(), {.profile = &profile, .level = level});
  Bytestring out(Encoder::max_nested_size(unit.shape()).count());
  const Result<EncodedUnit> encoded = encoder.encode(unit.view(), context, out);
  if (!encoded) return encoded.error();
  std::vector<Bytestring> frames;
  for (const EncodedPart& part : encoded->parts()) {
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(part.offset.count());
    frames.emplace_back(first, first + static_cast<std::ptrdiff_t>(part.size.count()));
  }
  return frames;
}

Result<void> decode(const Profile* profile, std::span<const Bytestring> frames, const UnitContext& context,
                    const PagedUnit& out) {
  Decoder decoder = *Decoder::open(table(), profile);
  const std::vector<std::span<const std::byte>> spans(frames.begin(), frames.end());
  return decoder.decode(spans, out.shape(), context, out.writable());
}

/// Fills a unit by stream and number of the value in it.
template <typename ValueOf>
void fill(const PagedUnit& unit, ValueOf value_of) {
  const KvShape& shape = unit.shape();
  const kernels::MutableUnitView view = unit.writable();
  std::vector<float> rows(shape.tokens.count() * shape.row_values());
  for (std::size_t stream = 0; stream < 2 * shape.layers.count(); ++stream) {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = value_of(stream, i);
    const auto& plane = (stream % 2 == 0 ? view.k : view.v)[stream / 2];
    table().scatter(rows, shape, {0, shape.tokens.count()}, plane);
  }
}

/// Nothing is left out or rounded by rate, so that errors are bounded by the steps alone.
void make_all_coded(ProfileContents& contents) {
  for (ProfileLevel& level : contents.levels) {
    level.unit_magnitude = 1;
    std::replace(level.classes.begin(), level.classes.end(), kSilentClass, std::uint8_t{100});
  }
}

/// Largest error of the weighted coefficients of coded tokens, in units of the coarsest step that they may have.
double worst_error(const Profile& profile, const ProfileLevel& level, const PagedUnit& a, const PagedUnit& b) {
  ProfileSignal signal(table(), profile);
  const std::size_t width = profile.contents().width();
  const std::size_t tokens = a.shape().tokens.count();
  const std::vector<float> left = a.values(), right = b.values();
  double worst = 0;
  std::vector<float> x(width * tokens), y(width * tokens), z(width * tokens);
  for (std::size_t stream = 0; stream < 2 * a.shape().layers.count(); ++stream) {
    const auto columns = [&](const std::vector<float>& values) {
      for (std::size_t token = 0; token < tokens; ++token) {
        for (std::size_t c = 0; c < width; ++c) x[c * tokens + token] = values[(stream * tokens + token) * width + c];
      }
    };
    columns(left);
    signal.forward({stream, tokens}, x, y);
    columns(right);
    signal.forward({stream, tokens}, x, z);
    for (std::size_t i = 0; i < y.size(); ++i) worst = std::max<double>(worst, std::fabs(y[i] - z[i]));
  }
  return worst / level.step;
}

TEST(ProfileCodec, EveryPrefixOfStagesIsWithinItsSteps) {
  for (const Tier tier : {Tier::kHeads, Tier::kLayer, Tier::kPredicted}) {
    const bool predicts = tier == Tier::kPredicted;
    ProfileContents contents = tiny_contents({.tier = tier,
                                              .layers = Layers(3),
                                              .layers_back = static_cast<std::uint8_t>(predicts ? 2 : 0),
                                              .intra_every = static_cast<std::uint8_t>(predicts ? 8 : 0)});
    make_all_coded(contents);
    const Profile profile = *Profile::parse(table(), *write_profile(table(), contents));
    for (const std::uint64_t tokens : {1, 2, 33, 256}) {
      PagedUnit unit(shape_of(profile, 3, tokens), {.block_tokens = 16, .head_gap = 4, .token_gap = 12});
      fill_normal(unit, static_cast<std::uint32_t>(tokens));
      const UnitContext context{.rope = {}, .first_position = TokenIndex(64), .request_tokens = Tokens(64 + tokens)};
      const auto frames = encode(profile, 0, unit, context);
      ASSERT_TRUE(frames.has_value()) << frames.error().where;
      ASSERT_EQ(frames->size(), 3U);
      // What a value is off at most at each stage, and what the rounding of the basis to 16 bits adds.
      constexpr std::array<double, 3> kMostSteps{5.5 / 9, 2.5 / 3, 0.65};
      constexpr double kOfBasis = 0.02;
      double scale = 1;
      for (std::size_t stages = 1; stages <= 3; ++stages, scale *= 3) {
        PagedUnit back(unit.shape(), {.block_tokens = 8});
        const auto decoded = decode(&profile, std::span(*frames).first(stages), context, back);
        ASSERT_TRUE(decoded.has_value()) << decoded.error().where;
        EXPECT_LE(worst_error(profile, contents.levels[0], unit, back) * scale, kMostSteps[stages - 1] + kOfBasis)
            << "tier " << static_cast<int>(tier) << ", " << tokens << " tokens, " << stages << " stages";
      }
    }
  }
}

TEST(ProfileCodec, OneStageRoundsByRateWithinOneAndAHalfSteps) {
  ProfileContents contents = tiny_contents({});
  make_all_coded(contents);
  const Profile profile = *Profile::parse(table(), *write_profile(table(), contents));
  PagedUnit unit(shape_of(profile, 2, 100), {});
  fill_normal(unit, 5);
  const UnitContext context{.rope = {}, .first_position = TokenIndex(0), .request_tokens = Tokens(100)};
  const auto frames = encode(profile, 1, unit, context);
  ASSERT_EQ(frames->size(), 1U);
  PagedUnit back(unit.shape(), {});
  ASSERT_TRUE(decode(&profile, *frames, context, back).has_value());
  EXPECT_LE(worst_error(profile, contents.levels[1], unit, back), 1.51);
  // The first token is raw.
  EXPECT_EQ(unit.values()[0], back.values()[0]);
}

TEST(ProfileCodec, HugeAndDegenerateInputsComeBackOrAreRefused) {
  for (const RopeStyle style : {RopeStyle::kNone, RopeStyle::kPairs, RopeStyle::kHalves}) {
    TinyProfile tiny;
    if (style != RopeStyle::kNone) tiny.rope = {.style = style, .dims = 8, .base = 10000.0, .scaling = {}};
    ProfileContents contents = tiny_contents(tiny);
    make_all_coded(contents);
    const Profile profile = *Profile::parse(table(), *write_profile(table(), contents));
    const UnitContext context{.rope = tiny.rope, .first_position = TokenIndex(7), .request_tokens = Tokens(500)};
    for (const float bias : {0.0F, 1.0F, 350.0F, -350.0F}) {
      PagedUnit unit(shape_of(profile, 2, 40), {});
      const std::size_t width = profile.contents().width();
      fill(unit, [&](std::size_t stream, std::size_t i) { return stream == 0 && i % width == 30 ? bias : 0.0F; });
      const auto frames = encode(profile, 0, unit, context);
      ASSERT_TRUE(frames.has_value()) << bias << " " << frames.error().where;
      PagedUnit back(unit.shape(), {});
      ASSERT_TRUE(decode(&profile, *frames, context, back).has_value());
      const std::vector<float> original = unit.values(), decoded = back.values();
      for (std::size_t i = 0; i < decoded.size(); ++i) ASSERT_NEAR(decoded[i], original[i], 0.5);
    }
    for (const float value : {NAN, INFINITY, -INFINITY, 3e38F}) {
      PagedUnit unit(shape_of(profile, 2, 40), {});
      fill(unit, [&](std::size_t stream, std::size_t i) { return stream == 3 && i == 500 ? value : 1.0F; });
      EXPECT_EQ(encode(profile, 0, unit, context).error().code, ErrorCode::kUnsupported) << value;
      EXPECT_EQ(encode(profile, 1, unit, context).error().code, ErrorCode::kUnsupported) << value;
    }
  }
}

TEST(ProfileCodec, WrongOrMissingProfileIsRefusedAndPagesStayUntouched) {
  const Profile profile = profile_of({.layers = Layers(4)});
  const Profile other = profile_of({.layers = Layers(4), .seed = 9});
  PagedUnit unit(shape_of(profile, 2, 40), {});
  fill_normal(unit, 1);
  const UnitContext context{
      .rope = {}, .first_position = TokenIndex(0), .request_tokens = Tokens(40), .first_layer = LayerIndex(2)};
  const auto frames = encode(profile, 0, unit, context);
  ASSERT_TRUE(frames.has_value());
  PagedUnit back(unit.shape(), {});
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): the memory changes
  const std::vector<std::byte> before = back.memory();
  EXPECT_EQ(decode(nullptr, *frames, context, back).error().code, ErrorCode::kProfileMismatch);
  EXPECT_EQ(decode(&other, *frames, context, back).error().code, ErrorCode::kProfileMismatch);
  UnitContext elsewhere = context;
  elsewhere.first_layer = LayerIndex(1);
  EXPECT_EQ(decode(&profile, *frames, elsewhere, back).error().code, ErrorCode::kBadField);
  elsewhere.first_layer = LayerIndex(3);  // layers 3 and 4 of four
  EXPECT_EQ(encode(profile, 0, unit, elsewhere).error().code, ErrorCode::kProfileMismatch);
  elsewhere = context;
  elsewhere.rope = {.style = RopeStyle::kPairs, .dims = 16, .base = 10000.0, .scaling = {}};
  EXPECT_EQ(encode(profile, 0, unit, elsewhere).error().code, ErrorCode::kProfileMismatch);
  std::vector<Bytestring> swapped{(*frames)[1], (*frames)[0]};
  EXPECT_EQ(decode(&profile, swapped, context, back).error().code, ErrorCode::kBadField);
  EXPECT_EQ(back.memory(), before);
  EXPECT_TRUE(decode(&profile, *frames, context, back).has_value());
}

TEST(ProfileCodec, UnitsOfPredictionStartAtIntraLayers) {
  const Profile profile =
      profile_of({.tier = Tier::kPredicted, .layers = Layers(6), .layers_back = 1, .intra_every = 2});
  PagedUnit unit(shape_of(profile, 3, 20), {});
  fill_normal(unit, 1);
  for (const std::uint32_t first : {0U, 1U, 2U, 3U}) {
    const UnitContext context{
        .rope = {}, .first_position = TokenIndex(0), .request_tokens = Tokens(20), .first_layer = LayerIndex(first)};
    const auto frames = encode(profile, 0, unit, context);
    ASSERT_EQ(frames.has_value(), first % 2 == 0) << first;
    if (!frames) {
      EXPECT_EQ(frames.error().code, ErrorCode::kProfileMismatch);
      continue;
    }
    PagedUnit back(unit.shape(), {});
    EXPECT_TRUE(decode(&profile, *frames, context, back).has_value());
  }
}

}  // namespace
}  // namespace sluice::codec
