// The encoder's token classifier and calibration's must say the same of one unit.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "codec/calibration/profile_matrices.h"
#include "codec/calibration/token_classifier.h"
#include "codec/token_classifier.h"
#include "tests/unit/calibration/synthetic_dump.h"

namespace sluice::codec::calibration {
namespace {

TEST(EncoderAgreement, TokenClassesAreThoseOfCalibration) {
  const SyntheticDump text({.tokens = 240});
  CalibrationOptions options;
  options.levels = {{"default", 0.05, Stages(1)}};
  SilentWatch watch;
  const kernels::KernelTable& table = kernels::ref_kernels();
  const auto outcome = calibrate(table, std::span(&text.dump(), 1), options, watch);
  ASSERT_TRUE(outcome);
  const auto file = write_profile(table, outcome->contents);
  const auto profile = Profile::parse(table, *file);
  ASSERT_TRUE(profile);
  const ProfileContents& contents = profile->contents();
  const auto width = static_cast<Eigen::Index>(contents.width());

  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (const Eigen::Index tokens : {1L, 63L, 64L, 200L, 256L}) {
    std::array<Samples, 2> y{Samples(tokens, width), Samples(tokens, width)};
    for (Samples& side : y) {
      for (float& x : side.reshaped()) x = 0.1F + 0.05F * normal(random);
    }
    std::vector<std::uint8_t> classes(static_cast<std::size_t>(tokens));
    codec::TokenClassifier encoder(kernels::ref_kernels(), *profile);
    encoder.classify({.layer = 1,
                      .k = std::span(y[0].data(), static_cast<std::size_t>(y[0].size())),
                      .v = std::span(y[1].data(), static_cast<std::size_t>(y[1].size())),
                      .first_position = 10,
                      .request_tokens = 1000},
                     0, classes);
    TokenClassifier own;
    own.regression.resize(4 * width + 3);
    for (Eigen::Index i = 0; i < own.regression.size(); ++i) {
      own.regression(i) = contents.classifier[static_cast<std::size_t>(own.regression.size() + i)];
    }
    for (std::size_t side = 0; side < 2; ++side) {
      own.scales[side].resize(width);
      for (Eigen::Index i = 0; i < width; ++i) {
        own.scales[side](i) = contents.classifier_scales[(2 + side) * contents.width() + static_cast<std::size_t>(i)];
      }
    }
    TextRange rows;
    rows.tokens = tokens;
    rows.position = 10;
    const Eigen::VectorXi expected = classify(own, y, rows, 1000);
    int different = 0;  // sums are added in another order: a tie may fall to either side
    for (Eigen::Index t = 0; t < tokens; ++t) {
      const int found = contents.lowest_class + classes[static_cast<std::size_t>(t)];
      EXPECT_LE(std::abs(found - expected(t)), 1);
      different += found != expected(t);
    }
    EXPECT_LE(different, 1 + tokens / 100) << tokens;
  }
}

}  // namespace
}  // namespace sluice::codec::calibration
