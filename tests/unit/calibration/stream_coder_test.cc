#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "codec/calibration/stream_coder.h"
#include "codec/calibration/token_classifier.h"

namespace sluice::codec::calibration {
namespace {

constexpr std::uint32_t kSeed = 11;
constexpr Eigen::Index kTokens = 3000;
constexpr Eigen::Index kWidth = 12;

/// Gaussian AR(1) across channels.
Samples autoregressive(double correlation) {
  std::mt19937 random(kSeed);
  std::normal_distribution<double> normal;
  Samples samples(kTokens, kWidth);
  for (Eigen::Index t = 0; t < kTokens; ++t) {
    double last = normal(random);
    for (Eigen::Index c = 0; c < kWidth; ++c) {
      samples(t, c) = static_cast<float>(last);
      last = correlation * last + std::sqrt(1 - correlation * correlation) * normal(random);
    }
  }
  return samples;
}

Samples transformed(const Samples& samples) {
  Square covariance = Square::Zero(kWidth, kWidth);
  add_products(samples, samples, covariance);
  return samples * principal_basis(covariance).cast<float>();
}

double bits_per_value(const StreamOutput& out, std::size_t stage) {
  return out.cost[stage].bits / static_cast<double>(kTokens * kWidth);
}

/// Rate of Gaussian channels at the distortion that was measured, by reverse water filling is below this bound: every
/// channel is finer than the distortion here.
double gaussian_bits(double correlation, double distortion) {
  const double log_determinant = static_cast<double>(kWidth - 1) / kWidth * std::log2(1 - correlation * correlation);
  return 0.5 * log_determinant - 0.5 * std::log2(distortion);
}

TEST(StreamCoder, TransformOfCorrelatedChannelsGains) {
  const CodeBook book;
  const Eigen::VectorXi classes = Eigen::VectorXi::Zero(kTokens);
  for (const double correlation : {0.0, 0.5, 0.9, 0.99}) {
    const Samples plain = autoregressive(correlation);
    const Samples turned = transformed(plain);
    const StreamOutput without = code_stream(book, {&plain, &classes, 0.1F, 1});
    const StreamOutput with = code_stream(book, {&turned, &classes, 0.1F, 1});
    EXPECT_LE(bits_per_value(with, 0), bits_per_value(without, 0) + 0.01) << correlation;
    if (correlation >= 0.9) {
      EXPECT_LT(bits_per_value(with, 0), bits_per_value(without, 0) - 0.5) << correlation;
    }
  }
}

TEST(StreamCoder, ReachesTheRateDistortionBoundOfAutoregressiveDataUpToAQuarterBit) {
  const CodeBook book;
  const Eigen::VectorXi classes = Eigen::VectorXi::Zero(kTokens);
  for (const double correlation : {0.0, 0.7, 0.9}) {
    const Samples turned = transformed(autoregressive(correlation));
    for (const float step : {0.02F, 0.1F, 0.25F}) {
      const StreamOutput out = code_stream(book, {&turned, &classes, step, 1});
      const double distortion = out.cost[0].squared_error / static_cast<double>(kTokens * kWidth);
      const double bound = gaussian_bits(correlation, distortion);
      EXPECT_GT(bits_per_value(out, 0), bound) << correlation << " " << step;
      EXPECT_LT(bits_per_value(out, 0), bound + 0.30) << correlation << " " << step;
    }
  }
}

TEST(StreamCoder, LowRankDataCostsOnlyItsRank) {
  const CodeBook book;
  const Eigen::VectorXi classes = Eigen::VectorXi::Zero(kTokens);
  Samples samples = autoregressive(0);
  for (Eigen::Index c = 3; c < kWidth; ++c) samples.col(c) = samples.col(c % 3) * static_cast<float>(c);
  const Samples turned = transformed(samples);
  const StreamOutput out = code_stream(book, {&turned, &classes, 0.5F, 1});
  const StreamOutput leading = [&] {
    const Samples first = turned.leftCols(3);
    return code_stream(book, {&first, &classes, 0.5F, 1});
  }();
  EXPECT_NEAR(out.cost[0].bits, leading.cost[0].bits, 0.01 * leading.cost[0].bits);
}

TEST(StreamCoder, NestedStagesEachTakeDamageDownAndEndNearOneShot) {
  const CodeBook book;
  const Eigen::VectorXi classes = Eigen::VectorXi::Zero(kTokens);
  const Samples turned = transformed(autoregressive(0.9));
  const StreamOutput nested = code_stream(book, {&turned, &classes, 0.9F, 3});
  EXPECT_GT(nested.cost[0].squared_error, 4 * nested.cost[1].squared_error);
  EXPECT_GT(nested.cost[1].squared_error, 4 * nested.cost[2].squared_error);
  const StreamOutput once = code_stream(book, {&turned, &classes, 0.1F, 1});
  // At equal damage: half a bit a value for each factor of two in squared error. One shot has rate-distortion rounding.
  const double gained = 0.5 * std::log2(once.cost[0].squared_error / nested.cost[2].squared_error);
  EXPECT_LT(nested.cost[2].bits - gained * static_cast<double>(kTokens * kWidth), 1.08 * once.cost[0].bits);
}

TEST(StreamCoder, FinerTokensGetFinerValuesAndTheirOwnClasses) {
  const CodeBook book;
  Eigen::VectorXi classes(kTokens);
  for (Eigen::Index t = 0; t < kTokens; ++t) classes(t) = t % 2 == 0 ? -4 : 0;
  const Samples samples = autoregressive(0);
  const StreamOutput out = code_stream(book, {&samples, &classes, 1.0F, 1});
  double fine = 0, coarse = 0;
  for (Eigen::Index t = 0; t < kTokens; ++t) {
    (t % 2 == 0 ? fine : coarse) += static_cast<double>((samples.row(t) - out.decoded.row(t)).squaredNorm());
  }
  EXPECT_NEAR(coarse / fine, 16, 6);
  EXPECT_NE(out.classes[0][static_cast<std::size_t>((-4 - kFinestClass) * kWidth)],
            out.classes[0][static_cast<std::size_t>((0 - kFinestClass) * kWidth)]);
}

TEST(StreamCoder, ClassesOfTokensThatWereNeverSeenAreBorrowed) {
  const CodeBook book;
  const Eigen::VectorXi classes = Eigen::VectorXi::Zero(kTokens);
  const Samples samples = autoregressive(0);
  const StreamOutput out = code_stream(book, {&samples, &classes, 0.5F, 1});
  for (int z = kFinestClass; z <= kCoarsestClass; ++z) {
    const std::uint8_t own = out.classes[0][static_cast<std::size_t>((z - kFinestClass) * kWidth)];
    EXPECT_EQ(own, shifted_class(out.classes[0][static_cast<std::size_t>(-kFinestClass * kWidth)], -2 * z)) << z;
  }
}

TEST(StreamCoder, ConstantAndZeroChannelsCostNothingAndStayFinite) {
  const CodeBook book;
  const Eigen::VectorXi classes = Eigen::VectorXi::Zero(kTokens);
  const Samples zero = Samples::Zero(kTokens, kWidth);
  const StreamOutput out = code_stream(book, {&zero, &classes, 0.001F, 1});
  EXPECT_EQ(out.cost[0].bits, 0);
  EXPECT_EQ(out.cost[0].squared_error, 0);
  EXPECT_TRUE(out.decoded.isZero());
}

TEST(StreamCoder, ValuesOfManyStepsAreStillCodedNearTheirEntropy) {
  const CodeBook book;
  const Eigen::VectorXi classes = Eigen::VectorXi::Zero(kTokens);
  const Samples samples = autoregressive(0);
  const float step = 1.0F / 512;  // sigma is 512 steps
  const StreamOutput out = code_stream(book, {&samples, &classes, step, 1});
  const double entropy = 0.5 * std::log2(2 * std::numbers::pi * std::numbers::e) + 9;
  EXPECT_NEAR(bits_per_value(out, 0), entropy, 0.35);
}

}  // namespace
}  // namespace sluice::codec::calibration
