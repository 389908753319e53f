// Quantiser, symbols, moments, RoPE and transposition of every table against ref: bits equal, nothing written outside.
#include <algorithm>
#include <bit>
#include <cmath>

#include "tests/check/every_table.h"

namespace sluice::kernels {
namespace {

class Columns : public EveryTable {
 protected:
  std::vector<float> column(std::size_t count, float spread) {
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = 0.3F + spread * normal(random_);
    return values;
  }
  std::vector<std::int16_t> indices(std::size_t count, int most) {
    std::vector<std::int16_t> values(count);
    for (auto& value : values) value = static_cast<std::int16_t>(static_cast<int>(random_() % (2 * most + 1)) - most);
    return values;
  }
  std::mt19937 random_{20240611};
};

void expect_same(const ColumnMoments& got, const ColumnMoments& wanted) {
  EXPECT_EQ(std::bit_cast<std::uint32_t>(got.mean), std::bit_cast<std::uint32_t>(wanted.mean));
  EXPECT_EQ(std::bit_cast<std::uint32_t>(got.variance), std::bit_cast<std::uint32_t>(wanted.variance));
  EXPECT_EQ(std::bit_cast<std::uint32_t>(got.mean_magnitude), std::bit_cast<std::uint32_t>(wanted.mean_magnitude));
  EXPECT_EQ(std::bit_cast<std::uint32_t>(got.max_magnitude), std::bit_cast<std::uint32_t>(wanted.max_magnitude));
  EXPECT_EQ(got.finite, wanted.finite);
}

TEST_P(Columns, MomentsAreThoseOfRef) {
  for (const std::size_t count : lengths()) {
    for (const float spread : {0.0F, 1e-30F, 1.0F, 3e3F, 1e30F}) {
      std::vector<float> values = column(count, spread);
      expect_same(table().moments(values), ref().moments(values));
      if (count == 0) continue;
      for (const float odd : {NAN, INFINITY, -INFINITY, 3e38F, 1e-41F}) {
        values[random_() % count] = odd;
        expect_same(table().moments(values), ref().moments(values));
      }
    }
  }
}

TEST_P(Columns, QuantizedAndDequantizedValuesAreThoseOfRef) {
  for (const std::size_t count : lengths()) {
    for (const float scale : {0.0F, 0.01F, 1.0F, 2.7F, 1e4F, 1e30F}) {
      std::vector<float> values = column(count, 2.0F);
      for (std::size_t i = 0; i < count; i += 7) values[i] = 0.3F + 0.5F * static_cast<float>(i % 9);
      Guarded<std::int16_t> got(count), wanted(count), base(count), wanted_base(count), middle(count),
          wanted_middle(count);
      const QuantizeScale by{.mean = 0.3F, .scale = scale};
      const NestedColumns out{base.values(), middle.values(), got.values()};
      EXPECT_EQ(table().quantize(values, by, out),
                ref().quantize(values, by, {wanted_base.values(), wanted_middle.values(), wanted.values()}));
      ASSERT_EQ(got, wanted) << count << " " << scale;
      ASSERT_EQ(middle, wanted_middle) << count << " " << scale;
      ASSERT_EQ(base, wanted_base) << count << " " << scale;
      Guarded<float> back(count), wanted_back(count);
      table().dequantize(got.values(), {.mean = -7.1F, .step = scale}, back.values());
      ref().dequantize(got.values(), {.mean = -7.1F, .step = scale}, wanted_back.values());
      ASSERT_EQ(back, wanted_back) << count << " " << scale;
      if (count == 0) continue;
      values[random_() % count] = random_() % 2 == 0 ? NAN : -INFINITY;
      EXPECT_FALSE(std::isfinite(table().quantize(values, by, out)));
    }
  }
}

TEST_P(Columns, PricedIndicesAreThoseOfRef) {
  std::vector<float> prices(kPricedIndices);
  for (float& price : prices) price = 0.05F * static_cast<float>(random_() % 16);
  for (const std::size_t count : lengths()) {
    for (const float scale : {0.01F, 1.0F, 7.3F, 300.0F, 1e5F}) {
      std::vector<float> values = column(count, 2.0F);
      for (std::size_t i = 0; i < count; i += 5) values[i] = 0.5F * static_cast<float>(i % 9) - 2.0F;
      Guarded<std::int16_t> got(count), wanted(count);
      EXPECT_EQ(table().quantize_priced(values, {.scale = scale, .prices = prices}, got.values()),
                ref().quantize_priced(values, {.scale = scale, .prices = prices}, wanted.values()));
      ASSERT_EQ(got, wanted) << count << " " << scale;
      if (count == 0) continue;
      values[random_() % count] = random_() % 2 == 0 ? NAN : INFINITY;
      EXPECT_FALSE(std::isfinite(table().quantize_priced(values, {.scale = 1, .prices = prices}, got.values())));
    }
  }
}

TEST_P(Columns, SumsOfFeaturesAreThoseOfRef) {
  for (const std::size_t count : lengths()) {
    std::vector<float> values = column(count, 3.0F);
    if (count > 2) values[1] = NAN, values[2] = INFINITY;
    const std::vector<float> before = column(count, 1.0F);
    Guarded<float> got(count), wanted(count);
    std::ranges::copy(before, got.values().begin());
    std::ranges::copy(before, wanted.values().begin());
    const Feature feature{.scale = 1.3F, .clip = 4, .weight = -0.7F, .magnitude_weight = 0.2F};
    table().add_feature(values, feature, got.values());
    ref().add_feature(values, feature, wanted.values());
    ASSERT_EQ(got, wanted) << count;
  }
}

TEST_P(Columns, EveryIndexFoldsAndUnfoldsAsInRef) {
  std::vector<std::int16_t> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int16_t>(i);
  for (std::uint32_t largest = 0; largest < kRansMaxSymbols / 2; ++largest) {
    Guarded<std::uint8_t> got(all.size()), wanted(all.size());
    EXPECT_EQ(table().fold(all, largest, got.values()), ref().fold(all, largest, wanted.values()));
    ASSERT_EQ(got, wanted) << largest;
    std::vector<std::uint8_t> symbols(256);
    for (std::size_t i = 0; i < symbols.size(); ++i) symbols[i] = static_cast<std::uint8_t>(i);
    Guarded<std::int16_t> back(256), wanted_back(256);
    EXPECT_EQ(table().unfold(symbols, largest, back.values()), ref().unfold(symbols, largest, wanted_back.values()));
    ASSERT_EQ(back, wanted_back) << largest;
  }
}

TEST_P(Columns, FoldingWorksAtAllLengths) {
  for (const std::size_t count : lengths()) {
    for (const int most : {0, 1, 3, 300, 32767}) {
      const std::vector<std::int16_t> values = indices(count, most);
      Guarded<std::uint8_t> symbols(count), wanted(count);
      EXPECT_EQ(table().fold(values, 3, symbols.values()), ref().fold(values, 3, wanted.values()));
      ASSERT_EQ(symbols, wanted) << count;
      Guarded<std::int16_t> back(count), wanted_back(count);
      EXPECT_EQ(table().unfold(wanted.values(), 3, back.values()),
                ref().unfold(wanted.values(), 3, wanted_back.values()));
      ASSERT_EQ(back, wanted_back) << count;
    }
  }
}

TEST_P(Columns, RefinementsAreThoseOfRef) {
  for (const std::size_t count : lengths()) {
    for (const int most : {0, 2, 40, kLargestIndex / 3}) {
      const std::vector<std::int16_t> coarse = indices(count, most);
      const std::vector<std::int16_t> fine = indices(count, most == 0 ? 3 : 3 * most);
      Guarded<std::uint8_t> symbols(count), contexts(count), again(count), wanted(count), wanted_contexts(count);
      table().fold_refinement(coarse, fine, symbols.values(), contexts.values());
      ref().fold_refinement(coarse, fine, wanted.values(), wanted_contexts.values());
      ASSERT_EQ(symbols, wanted) << count;
      ASSERT_EQ(contexts, wanted_contexts) << count;
      table().context(coarse, again.values());
      ASSERT_EQ(again, wanted_contexts) << count;
    }
  }
}

TEST_P(Columns, EveryIndexIsRefinedAsInRefBySymbolsOfEveryKind) {
  std::vector<std::int16_t> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int16_t>(i);
  for (std::uint32_t symbol = 0; symbol < kRefinementSymbols; ++symbol) {
    const std::vector<std::uint8_t> symbols(all.size(), static_cast<std::uint8_t>(symbol));
    std::vector<std::int16_t> got = all, wanted = all;
    table().refine(symbols, got);
    ref().refine(symbols, wanted);
    EXPECT_EQ(got, wanted) << symbol;
    std::vector<std::uint8_t> contexts(all.size()), wanted_contexts(all.size());
    table().context(all, contexts);
    ref().context(all, wanted_contexts);
    EXPECT_EQ(contexts, wanted_contexts);
  }
  for (const std::size_t count : lengths()) {
    std::vector<std::int16_t> got = indices(count, 100), wanted = got;
    std::vector<std::uint8_t> symbols(count);
    for (auto& symbol : symbols) symbol = static_cast<std::uint8_t>(random_() % kRefinementSymbols);
    table().refine(symbols, got);
    ref().refine(symbols, wanted);
    EXPECT_EQ(got, wanted) << count;
  }
}

TEST_P(Columns, RotationIsThatOfRef) {
  for (const std::size_t count : lengths()) {
    for (const float sign : {1.0F, -1.0F}) {
      const std::vector<float> first = column(count, 3.0F), second = column(count, 1.0F);
      const std::vector<float> cosine = column(count, 0.5F), sine = column(count, 0.5F);
      std::vector<float> got_first = first, got_second = second, wanted_first = first, wanted_second = second;
      table().rotate({got_first, got_second, cosine, sine, sign});
      ref().rotate({wanted_first, wanted_second, cosine, sine, sign});
      EXPECT_EQ(got_first, wanted_first) << count;
      EXPECT_EQ(got_second, wanted_second) << count;
    }
  }
}

TEST_P(Columns, TransposesMoveWhatRefMovesAndNothingElse) {
  for (const std::uint64_t width : {1, 7, 8, 9, 16, 40, 67, 192}) {
    for (const std::uint64_t tokens : {0, 1, 7, 8, 9, 31, 32, 33}) {
      const std::vector<float> rows = column(tokens * width, 1.0F);
      const TransposeExtent extent{.tokens = tokens, .width = width, .first = 3, .stride = tokens + 5};
      Guarded<float> got(width * extent.stride), wanted(width * extent.stride);
      table().to_columns(rows, extent, got.values());
      ref().to_columns(rows, extent, wanted.values());
      ASSERT_EQ(got, wanted) << width << " " << tokens;
      Guarded<float> back(rows.size());
      table().to_rows(got.values(), extent, back.values());
      ASSERT_TRUE(std::equal(rows.begin(), rows.end(), back.values().begin())) << width << " " << tokens;
      ASSERT_TRUE(back.is_intact());
    }
  }
}

TEST_P(Columns, MatrixProductsAreThoseOfRef) {
  for (const std::size_t rows : {1, 5, 6, 7, 13, 64}) {
    for (const std::size_t inner : {0, 1, 3, 64, 255, 256, 257, 520}) {
      for (const std::size_t tokens : {0, 1, 7, 15, 16, 17, 33, 255}) {
        const std::vector<float> matrix = column(rows * inner, 1.0F), in = column(inner * tokens, 2.0F);
        const std::vector<float> before = column(rows * tokens, 1.0F);
        Guarded<float> got(before.size()), wanted(before.size());
        std::ranges::copy(before, got.values().begin());
        std::ranges::copy(before, wanted.values().begin());
        table().transform(matrix, in, {.rows = rows, .inner = inner, .tokens = tokens}, got.values());
        ref().transform(matrix, in, {.rows = rows, .inner = inner, .tokens = tokens}, wanted.values());
        ASSERT_EQ(got, wanted) << rows << " " << inner << " " << tokens;
      }
    }
  }
}

TEST_P(Columns, ColumnsAreReorderedAsInRef) {
  for (const std::size_t count : lengths()) {
    std::vector<std::uint32_t> from(count);
    for (std::uint32_t& entry : from) entry = static_cast<std::uint32_t>(random_() % count);
    const std::vector<float> values = column(3 * count, 1.0F);
    Guarded<float> got(values.size()), wanted(values.size());
    table().reorder(values, from, got.values());
    ref().reorder(values, from, wanted.values());
    ASSERT_EQ(got, wanted) << count;
  }
}

// Indices of which whole stretches are 0, others are +-1 or large.
TEST_P(Columns, CoefficientsAndTheirInverseTransformAreThoseOfRef) {
  for (const std::size_t inner : {1, 3, 64, 129, 300}) {
    for (const std::size_t rows : {1, 11, 12, 13, 64}) {
      for (const std::size_t places : {0, 1, 15, 16, 31, 32, 33, 100}) {
        std::vector<std::int16_t> all = indices(inner * places, 32767);
        for (std::size_t i = 0; i < all.size(); ++i) {
          if (i / 40 % 3 != 0) all[i] = static_cast<std::int16_t>(i / 40 % 3 == 1 ? 0 : static_cast<int>(i % 5) - 2);
        }
        std::vector<float> steps = column(places, 0.1F);
        for (float& step : steps) step = std::fabs(step) + 0.01F;
        const std::vector<float> basis = column(inner * rows, 1.0F);
        const IndexedCoefficients in{.indices = all, .steps = steps, .unit_magnitude = 1.02F};
        Guarded<float> got(all.size()), wanted(all.size()), values(rows * places), wanted_values(rows * places);
        table().reconstruct(in, got.values());
        ref().reconstruct(in, wanted.values());
        ASSERT_EQ(got, wanted) << inner << " " << places;
        table().synthesize(in, basis, values.values());
        ref().synthesize(in, basis, wanted_values.values());
        ASSERT_EQ(values, wanted_values) << inner << " " << rows << " " << places;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Check, Columns, testing::ValuesIn(kTables), table_name);

}  // namespace
}  // namespace sluice::kernels
