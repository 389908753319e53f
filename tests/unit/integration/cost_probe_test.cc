#include "integration/cost_probe.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace sluice::integration {
namespace {

TEST(StatedCurve, IsTheExponentialOfEachStagesDamage) {
  const std::array<codec::StageQuality, 3> stages = {
      {{.kl_mean = 0.061F}, {.kl_mean = 0.0164F}, {.kl_mean = 0.00013F}}};
  const scheduler::QualityCurve curve = stated_curve(stages);
  EXPECT_NEAR(static_cast<double>(curve.points[Part::kBase].count()), 1e6 * std::exp(-0.061), 1);
  EXPECT_NEAR(static_cast<double>(curve.points[Part::kRefinement1].count()), 1e6 * std::exp(-0.0164), 1);
  EXPECT_NEAR(static_cast<double>(curve.points[Part::kRefinement2].count()), 1e6 * std::exp(-0.00013), 1);
  EXPECT_EQ(curve.points[Part::kRaw], scheduler::kExactQuality);
}

TEST(StatedCurve, WhatIsNotStatedStaysAsNobodyMeasuredIt) {
  const scheduler::QualityCurve unmeasured;
  EXPECT_EQ(stated_curve({}).points, unmeasured.points);
  const std::array<codec::StageQuality, 2> half = {{{.kl_mean = 0}, {.kl_mean = std::nanf("")}}};
  EXPECT_EQ(stated_curve(half).points, unmeasured.points);
}

}  // namespace
}  // namespace sluice::integration
