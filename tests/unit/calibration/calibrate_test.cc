#include "codec/calibration/calibrate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <limits>

#include "codec/calibration/profile_matrices.h"
#include "tests/unit/calibration/synthetic_dump.h"

namespace sluice::codec::calibration {
namespace {

/// Several texts of one model.
struct Texts {
  std::deque<SyntheticDump> owned;
  std::vector<Dump> views() const {
    std::vector<Dump> all;
    for (const SyntheticDump& each : owned) all.push_back(each.dump());
    return all;
  }
};

void add(Texts& texts, SyntheticOptions options, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    options.seed = static_cast<std::uint32_t>(texts.owned.size() + 1);
    texts.owned.emplace_back(options);
  }
}

Texts usual_texts() {
  Texts texts;
  add(texts, {}, 3);
  return texts;
}

CalibrationOptions options_of(Tier tier) {
  CalibrationOptions options;
  options.tier = tier;
  options.layers_back = 1;
  options.intra_every = 2;
  options.levels = {{"default", 0.05, Stages(1)}};
  return options;
}

CalibrationOutcome run(const std::vector<Dump>& dumps, const CalibrationOptions& options) {
  SilentWatch watch;
  Result<CalibrationOutcome> outcome = calibrate(kernels::ref_kernels(), dumps, options, watch);
  EXPECT_TRUE(outcome) << (outcome ? "" : outcome.error().where);
  return std::move(outcome).value();
}

bool all_finite(const std::vector<float>& values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

void expect_sound(const ProfileContents& contents) {
  EXPECT_TRUE(all_finite(contents.means));
  EXPECT_TRUE(all_finite(contents.weights));
  EXPECT_TRUE(std::ranges::all_of(contents.weights, [](float x) { return x > 0; }));
  EXPECT_TRUE(all_finite(contents.classifier));
  EXPECT_TRUE(all_finite(contents.classifier_scales));
  EXPECT_TRUE(all_finite(contents.predictor_scales));
  const Result<std::vector<std::byte>> file = write_profile(kernels::ref_kernels(), contents);
  ASSERT_TRUE(file) << file.error().where;
  const Result<Profile> back = Profile::parse(kernels::ref_kernels(), *file);
  ASSERT_TRUE(back) << back.error().where;
  EXPECT_TRUE(back->contents() == contents);
}

/// The same numbers in another type.
std::vector<std::byte> narrowed(const std::vector<float>& values, kernels::DType dtype) {
  const kernels::KvShape shape{Layers(1), Tokens(values.size()), Heads(1), HeadDim(1), dtype};
  std::vector<std::byte> bytes(values.size() * kernels::dtype_size(dtype));
  std::byte* block = bytes.data();
  const auto size = static_cast<std::ptrdiff_t>(kernels::dtype_size(dtype));
  const kernels::MutablePlaneView plane{std::span<std::byte* const>(&block, 1), values.size(), size, size};
  kernels::ref_kernels().scatter(values, shape, {0, values.size()}, plane);
  return bytes;
}

constexpr std::array kTiers{Tier::kHeads, Tier::kLayer, Tier::kPredicted};

TEST(Calibrate, EveryTierGivesASoundProfile) {
  const Texts texts = usual_texts();
  for (const Tier tier : kTiers) {
    const CalibrationOutcome outcome = run(texts.views(), options_of(tier));
    EXPECT_EQ(outcome.source, SensitivitySource::kGradients);
    EXPECT_TRUE(outcome.has_token_classes);
    EXPECT_EQ(outcome.tokens, 3 * (160 - kSinks));
    expect_sound(outcome.contents);
  }
}

TEST(Calibrate, SameDumpsGiveSameBytes) {
  const Texts texts = usual_texts();
  for (const Tier tier : kTiers) {
    const auto first = write_profile(kernels::ref_kernels(), run(texts.views(), options_of(tier)).contents);
    const auto second = write_profile(kernels::ref_kernels(), run(texts.views(), options_of(tier)).contents);
    EXPECT_EQ(*first, *second);
  }
}

TEST(Calibrate, BasesAreOrthogonalSoThatBackwardUndoesForward) {
  const Texts texts = usual_texts();
  for (const Tier tier : kTiers) {
    const ProfileContents contents = run(texts.views(), options_of(tier)).contents;
    for (std::size_t stream = 0; stream < contents.streams(); ++stream) {
      const Eigen::MatrixXf basis = load_basis(contents, stream);
      const auto width = static_cast<Eigen::Index>(contents.width());
      EXPECT_LT((basis * basis.transpose() - Eigen::MatrixXf::Identity(width, width)).cwiseAbs().maxCoeff(), 3e-4F);
      EXPECT_LT((basis.transpose() * basis - Eigen::MatrixXf::Identity(width, width)).cwiseAbs().maxCoeff(), 3e-4F);
    }
  }
}

TEST(Calibrate, OrderOfDumpsDoesNotMatterUpToRounding) {
  const Texts texts = usual_texts();
  std::vector<Dump> reversed = texts.views();
  std::ranges::reverse(reversed);
  const ProfileContents left = run(texts.views(), options_of(Tier::kLayer)).contents;
  const ProfileContents right = run(reversed, options_of(Tier::kLayer)).contents;
  for (std::size_t i = 0; i < left.weights.size(); ++i) EXPECT_NEAR(left.weights[i] / right.weights[i], 1, 1e-3);
  for (std::size_t i = 0; i < left.means.size(); ++i) EXPECT_NEAR(left.means[i], right.means[i], 1e-4);
  EXPECT_NEAR(left.levels[0].quality[0].bits_per_value, right.levels[0].quality[0].bits_per_value, 0.01);
}

TEST(Calibrate, ScaledValuesWithGradientsScaledBackGiveTheSameSymbols) {
  Texts plain, scaled;
  add(plain, {}, 2);
  add(scaled, {.scale = 16}, 2);
  for (const Tier tier : kTiers) {
    const ProfileContents one = run(plain.views(), options_of(tier)).contents;
    const ProfileContents other = run(scaled.views(), options_of(tier)).contents;
    EXPECT_EQ(one.levels, other.levels);
    EXPECT_EQ(one.bases, other.bases);
    EXPECT_EQ(one.class_frequencies, other.class_frequencies);
    for (std::size_t i = 0; i < one.weights.size(); ++i) EXPECT_FLOAT_EQ(one.weights[i], 16 * other.weights[i]);
  }
}

TEST(Calibrate, LargeKeyBiasesCostNothing) {
  Texts plain, biased;
  add(plain, {.tokens = 200}, 2);
  add(biased, {.tokens = 200, .key_bias = 300}, 2);
  const ProfileContents one = run(plain.views(), options_of(Tier::kLayer)).contents;
  const ProfileContents other = run(biased.views(), options_of(Tier::kLayer)).contents;
  const float bits = one.levels[0].quality[0].bits_per_value;
  EXPECT_NEAR(other.levels[0].quality[0].bits_per_value, bits, 0.02F * bits);
  EXPECT_NEAR(other.means[0], 300, 0.5);
}

TEST(Calibrate, WithoutGradientsAProfileIsStillUsable) {
  Texts texts;
  add(texts, {.with_gradients = false}, 2);
  for (const Tier tier : kTiers) {
    const CalibrationOutcome outcome = run(texts.views(), options_of(tier));
    EXPECT_EQ(outcome.source, SensitivitySource::kNeutral);
    EXPECT_FALSE(outcome.has_token_classes);
    expect_sound(outcome.contents);
    // K finer than V, relative to the rms of a head.
    EXPECT_GT(outcome.contents.weights[0], 1.2F * outcome.contents.weights[outcome.contents.width()]);
  }
}

TEST(Calibrate, DumpsWithoutGradientsMayStandBesideSomeWith) {
  Texts texts;
  add(texts, {}, 2);
  add(texts, {.with_gradients = false}, 1);
  const CalibrationOutcome outcome = run(texts.views(), options_of(Tier::kLayer));
  EXPECT_EQ(outcome.source, SensitivitySource::kGradients);
  expect_sound(outcome.contents);
}

TEST(Calibrate, ZeroGradientsCountAsNone) {
  Texts texts;
  add(texts, {}, 2);
  for (SyntheticDump& each : texts.owned) {
    std::ranges::fill(each.gk, 0.0F);
    std::ranges::fill(each.gv, 0.0F);
  }
  const CalibrationOutcome outcome = run(texts.views(), options_of(Tier::kLayer));
  EXPECT_EQ(outcome.source, SensitivitySource::kNeutral);
  expect_sound(outcome.contents);
}

TEST(Calibrate, ChannelsOfZeroSensitivityOrNoVarianceStayFinite) {
  Texts texts;
  add(texts, {}, 2);
  for (SyntheticDump& each : texts.owned) {
    for (std::size_t i = 0; i < each.gv.size(); i += 16)
      std::fill_n(each.gv.begin() + static_cast<std::ptrdiff_t>(i), 8, 0.0F);
    for (std::size_t i = 0; i < each.v.size(); i += 16) each.v[i + 3] = 7.5F;
  }
  for (const Tier tier : kTiers) expect_sound(run(texts.views(), options_of(tier)).contents);
}

TEST(Calibrate, FewerTokensThanChannelsAreEnough) {
  Texts texts;
  add(texts, {.tokens = 12}, 1);
  for (const Tier tier : kTiers) expect_sound(run(texts.views(), options_of(tier)).contents);
}

TEST(Calibrate, TokensThatMatterGetFinerSteps) {
  Texts texts;
  add(texts, {.tokens = 400}, 4);
  const ProfileContents contents = run(texts.views(), options_of(Tier::kLayer)).contents;
  // Importance is exp(first channel): a spread of one e-fold of amplitude, 1.44 octaves, gives several classes.
  int used = 0;
  for (std::size_t z = 0; z < contents.token_classes; ++z) used += contents.class_frequencies[z] > 8;
  EXPECT_GE(used, 4);
}

TEST(Calibrate, PredictionFindsThatValuesFollowKeys) {
  Texts texts;
  add(texts, {.tokens = 300}, 3);
  CalibrationOptions options = options_of(Tier::kLayer);
  options.levels[0].kl = 0.001;
  const float without = run(texts.views(), options).contents.levels[0].quality[0].bits_per_value;
  options.tier = Tier::kPredicted;
  const float with = run(texts.views(), options).contents.levels[0].quality[0].bits_per_value;
  EXPECT_LT(with, 0.95F * without);
}

TEST(Calibrate, NestedLevelsHaveAQualityPerStage) {
  const Texts texts = usual_texts();
  for (const Tier tier : kTiers) {
    CalibrationOptions options = options_of(tier);
    options.levels = {{"nested", 0.05, Stages(3)}};
    const ProfileContents contents = run(texts.views(), options).contents;
    const auto& quality = contents.levels[0].quality;
    EXPECT_LT(quality[0].bits_per_value, quality[1].bits_per_value);
    EXPECT_LT(quality[1].bits_per_value, quality[2].bits_per_value);
    EXPECT_NEAR(quality[0].kl_mean / quality[2].kl_mean, 81, 1);
    expect_sound(contents);
  }
}

TEST(Calibrate, ValuesThatAreNotNumbersAreNamed) {
  Texts texts = usual_texts();
  constexpr std::size_t kWidth = 16, kTokens = 160;
  texts.owned[1].gk[((1 * 2 + 1) * kTokens + 17) * kWidth + 8 + 5] = std::numeric_limits<float>::quiet_NaN();
  SilentWatch watch;
  const auto outcome = calibrate(kernels::ref_kernels(), texts.views(), options_of(Tier::kLayer), watch);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(find_value_fault(kernels::ref_kernels(), texts.owned[0].dump()), "");
  EXPECT_EQ(find_value_fault(kernels::ref_kernels(), texts.owned[1].dump()),
            "NaN in gk of synthetic2 at row 1, layer 1, token 17, head 1, channel 5");
}

TEST(Calibrate, ShapesThatDisagreeAreToldInOneLine) {
  Texts texts;
  add(texts, {}, 1);
  add(texts, {.kv_heads = 1}, 1);
  SilentWatch watch;
  const auto outcome = calibrate(kernels::ref_kernels(), texts.views(), options_of(Tier::kLayer), watch);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kIncompatibleLayout);
  EXPECT_EQ(find_shape_fault(texts.views()),
            "synthetic2 has 2 layers x 1 heads x 8 channels, but synthetic1 has 2 layers x 2 heads x 8 channels");
}

TEST(Calibrate, StopsWhenToldTo) {
  const Texts texts = usual_texts();
  for (std::size_t patience = 0; patience < 6; ++patience) {
    SilentWatch watch(patience);
    const auto outcome = calibrate(kernels::ref_kernels(), texts.views(), options_of(Tier::kPredicted), watch);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, ErrorCode::kAborted);
  }
}

TEST(Calibrate, AttentionStandsInForGradientsInTokenClasses) {
  Texts texts;
  add(texts, {.with_gradients = false}, 2);
  std::vector<float> attention(2 * 160);
  for (std::size_t i = 0; i < attention.size(); ++i) attention[i] = i % 160 < 40 ? 8.0F : 0.5F;
  std::vector<Dump> dumps = texts.views();
  for (Dump& dump : dumps) dump.attention = {kernels::DType::kF32, std::as_bytes(std::span(attention))};
  const CalibrationOutcome outcome = run(dumps, options_of(Tier::kLayer));
  EXPECT_EQ(outcome.source, SensitivitySource::kNeutral);
  EXPECT_TRUE(outcome.has_token_classes);
  expect_sound(outcome.contents);
}

TEST(Calibrate, QueriesAndOutputProjectionStandInForGradientsInWeights) {
  Texts texts;
  add(texts, {.with_gradients = false}, 1);
  std::vector<float> q(2 * 160 * 4 * 8, 0.1F), wo(2 * 6 * 4 * 8, 0.1F);
  for (std::size_t i = 0; i < q.size(); i += 8) q[i] = 3;  // channels 0 and, by their pair, 4
  std::vector<Dump> dumps = texts.views();
  dumps[0].q = {kernels::DType::kF32, std::as_bytes(std::span(q))};
  dumps[0].wo = {kernels::DType::kF32, std::as_bytes(std::span(wo))};
  dumps[0].query_heads = 4;
  dumps[0].model_dim = 6;
  const CalibrationOutcome outcome = run(dumps, options_of(Tier::kHeads));
  EXPECT_EQ(outcome.source, SensitivitySource::kQueries);
  expect_sound(outcome.contents);
  EXPECT_GT(outcome.contents.weights[0], 1.3F * outcome.contents.weights[1]);
  EXPECT_FLOAT_EQ(outcome.contents.weights[0], outcome.contents.weights[4]);
}

TEST(Calibrate, EveryElementTypeIsRead) {
  Texts texts;
  add(texts, {.tokens = 100}, 1);
  const SyntheticDump& exact = texts.owned[0];
  const float bits = run(texts.views(), options_of(Tier::kLayer)).contents.levels[0].quality[0].bits_per_value;
  for (const kernels::DType dtype :
       {kernels::DType::kF16, kernels::DType::kBf16, kernels::DType::kE4m3, kernels::DType::kE5m2}) {
    std::vector<Dump> dumps = texts.views();
    const std::vector<std::byte> k = narrowed(exact.k, dtype), v = narrowed(exact.v, dtype);
    dumps[0].shape.dtype = dtype;
    dumps[0].k = {dtype, k};
    dumps[0].v = {dtype, v};
    const CalibrationOutcome outcome = run(dumps, options_of(Tier::kLayer));
    expect_sound(outcome.contents);
    EXPECT_NEAR(outcome.contents.levels[0].quality[0].bits_per_value, bits, 0.15F * bits);
  }
}

TEST(Ladder, StepFollowsKlInEighthsOfAnOctave) {
  for (double kl = 1e-5; kl < 1; kl *= 1.7) {
    const float step = step_for(kl, 2800, {});
    const double eighths = 8 * std::log2(static_cast<double>(step));
    EXPECT_NEAR(eighths, std::round(eighths), 1e-5);
    EXPECT_NEAR(std::log2(2800.0 * step * step / kl), 0, 0.126);
  }
}

TEST(Ladder, MeasuredPointsOutrankTheSquareLaw) {
  const std::vector<CurvePoint> measured{{0.001, 0.004, 0}, {0.002, 0.012, 0}, {0.004, 0.05, 0}};
  for (const CurvePoint& point : measured) {
    EXPECT_NEAR(std::log2(step_for(point.kl_mean, 1, measured) / point.step), 0, 0.126);
  }
  EXPECT_LT(step_for(0.0005, 1, measured), 0.0006F);
  EXPECT_GT(step_for(0.5, 1, measured), 0.009F);
}

TEST(Ladder, NestedLevelsGoByTheirOwnPointsWhereThereAreAny) {
  const std::vector<CurvePoint> plain{{1, 1, 0}, {2, 3, 0}};
  const std::vector<CurvePoint> both{{1, 1, 0}, {2, 3, 0}, {1, 2, 0, true}};
  EXPECT_EQ(points_for(Stages(1), plain).size(), 2U);
  EXPECT_EQ(points_for(Stages(3), plain).size(), 2U);
  EXPECT_EQ(points_for(Stages(1), both).size(), 2U);
  ASSERT_EQ(points_for(Stages(3), both).size(), 1U);
  EXPECT_EQ(points_for(Stages(3), both)[0].kl_mean, 2);
}

}  // namespace
}  // namespace sluice::codec::calibration
