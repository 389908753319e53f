// Laws of the quantiser, its symbols, RoPE on columns and the transposition.
#include "kernels/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/table.h"

namespace sluice::kernels {
namespace {

std::vector<float> random_column(std::size_t count, float spread, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> column(count);
  for (float& value : column) value = normal(random);
  return column;
}

struct Nested {
  std::vector<std::int16_t> base, middle, last;
  explicit Nested(std::size_t count) : base(count), middle(count), last(count) {}
};

Nested quantized(std::span<const float> column, QuantizeScale by) {
  Nested out(column.size());
  ref_kernels().quantize(column, by, {out.base, out.middle, out.last});
  return out;
}

TEST(Quantize, LastStageIsNearestBeyondTheThresholds) {
  const std::vector<float> column{0.0F, 0.59F, 0.6F, -0.6F, 1.64F, 1.65F, -1.65F, 2.4F, 2.5F, 1e9F, -1e9F};
  EXPECT_EQ(quantized(column, {.mean = 0, .scale = 1}).last,
            (std::vector<std::int16_t>{0, 0, 1, -1, 1, 2, -2, 2, 3, 32767, -32767}));
}

TEST(Quantize, CoarserStagesOfMagnitudesToFourteen) {
  std::vector<float> column(15);
  std::iota(column.begin(), column.end(), 0.0F);
  const Nested out = quantized(column, {.mean = 0, .scale = 1});
  EXPECT_EQ(out.middle, (std::vector<std::int16_t>{0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5}));
  EXPECT_EQ(out.base, (std::vector<std::int16_t>{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2}));
}

// Each index has one code: cells of a stage lie in one cell of the stage before.
TEST(Quantize, EveryLastIndexHasOneBaseThatItIsReachedFrom) {
  std::vector<float> column;
  for (std::int32_t last = -kLargestIndex; last <= kLargestIndex; ++last) column.push_back(static_cast<float>(last));
  const Nested out = quantized(column, {.mean = 0, .scale = 1});
  const auto expect_reached = [](const std::vector<std::int16_t>& coarse, const std::vector<std::int16_t>& fine) {
    std::vector<std::uint8_t> symbols(coarse.size()), contexts(coarse.size()), again(coarse.size());
    ref_kernels().fold_refinement(coarse, fine, symbols, contexts);
    ref_kernels().context(coarse, again);
    EXPECT_EQ(contexts, again);
    std::vector<std::int16_t> rebuilt = coarse;
    ref_kernels().refine(symbols, rebuilt);
    EXPECT_EQ(rebuilt, fine);
  };
  expect_reached(out.base, out.middle);
  expect_reached(out.middle, out.last);
  EXPECT_TRUE(std::is_sorted(out.base.begin(), out.base.end()));
  EXPECT_TRUE(std::is_sorted(out.middle.begin(), out.middle.end()));
}

TEST(Fold, EveryIndexComesBackAndEscapesAreCounted) {
  std::vector<std::int16_t> indices(201), back(201);
  std::iota(indices.begin(), indices.end(), std::int16_t{-100});
  std::vector<std::uint8_t> symbols(201);
  EXPECT_EQ(ref_kernels().fold(indices, 31, symbols), 2U * 69U);
  EXPECT_EQ(ref_kernels().unfold(symbols, 31, back), 2U * 69U);
  for (std::size_t i = 0; i < indices.size(); ++i) EXPECT_EQ(back[i], std::abs(indices[i]) <= 31 ? indices[i] : 0);
}

TEST(Moments, AgreeWithFp64AndSeeWhatIsNotFinite) {
  for (const std::size_t count : {1, 7, 8, 9, 255}) {
    std::vector<float> column = random_column(count, 2.0F, 4);
    for (float& value : column) value += 300.0F;
    const double mean = std::accumulate(column.begin(), column.end(), 0.0) / static_cast<double>(count);
    double variance = 0;
    for (const float value : column) variance += (value - mean) * (value - mean) / static_cast<double>(count);
    const ColumnMoments moments = ref_kernels().moments(column);
    EXPECT_NEAR(moments.mean, mean, 1e-3);
    EXPECT_NEAR(moments.variance, variance, 1e-3);
    EXPECT_TRUE(moments.finite);
    column[count / 2] = NAN;
    EXPECT_FALSE(ref_kernels().moments(column).finite);
    column[count / 2] = -INFINITY;
    EXPECT_FALSE(ref_kernels().moments(column).finite);
  }
}

TEST(Rope, TurningBackAndForthIsTheIdentityAndMatchesTheDefinition) {
  const RopeSpec rope{.style = RopeStyle::kHalves, .dims = 8, .base = 10000.0};
  RopeAngles angles;
  fill_rope_angles(rope, 5000, 256, angles);
  ASSERT_EQ(angles.pairs, 4U);
  for (std::uint64_t pair = 0; pair < 4; ++pair) {
    for (std::uint64_t token : {0U, 100U, 255U}) {
      const double angle =
          (5000.0 + static_cast<double>(token)) * std::pow(10000.0, -2.0 * static_cast<double>(pair) / 8);
      EXPECT_NEAR(angles.cosine[pair * 256 + token], std::cos(angle), 1e-6);
      EXPECT_NEAR(angles.sine[pair * 256 + token], std::sin(angle), 1e-6);
    }
  }
  std::vector<float> first = random_column(256, 1, 1), second = random_column(256, 1, 2);
  const std::vector<float> a = first, b = second;
  const std::span<const float> cosine = std::span(angles.cosine).first(256), sine = std::span(angles.sine).first(256);
  ref_kernels().rotate({first, second, cosine, sine, 1.0F});
  ref_kernels().rotate({first, second, cosine, sine, -1.0F});
  for (std::size_t i = 0; i < 256; ++i) {
    EXPECT_NEAR(first[i], a[i], 1e-6);
    EXPECT_NEAR(second[i], b[i], 1e-6);
  }
  EXPECT_EQ(rope_pair({.style = RopeStyle::kPairs, .dims = 8}, 3).second, 7U);
  EXPECT_EQ(rope_pair(rope, 3).second, 7U);
  EXPECT_EQ(rope_pair(rope, 1).first, 1U);
}

TEST(Transpose, ColumnsAndBackIsTheIdentity) {
  for (const std::uint64_t width : {1U, 15U, 16U, 17U, 192U}) {
    const std::vector<float> rows = random_column(33 * width, 1, 3);
    std::vector<float> columns(width * 40, -1.0F), back(rows.size());
    const TransposeExtent extent{.tokens = 33, .width = width, .first = 5, .stride = 40};
    ref_kernels().to_columns(rows, extent, columns);
    EXPECT_EQ(columns[5], rows[0]);
    EXPECT_EQ(columns[4], -1.0F);
    EXPECT_EQ(columns[38], -1.0F);
    ref_kernels().to_rows(columns, extent, back);
    EXPECT_EQ(back, rows);
  }
}

}  // namespace
}  // namespace sluice::kernels
