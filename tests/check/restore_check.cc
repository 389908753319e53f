// Loading and restoration of every table against ref: every dtype, both pairings of RoPE and partial ones, pages at odd
// addresses with gaps, any number of tokens, values from denormal to beyond the type.
#include "kernels/restore.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/check/every_table.h"

namespace sluice::kernels {
namespace {

class Restore : public EveryTable {
 protected:
  std::mt19937 random_{4711};
};

struct Case {
  KvShape shape;
  RopeSpec rope;
  std::uint64_t first = 0;  // column entry of the first token
  float scale = 1;
  bool is_transformed = false;  // values, their entries in an order of their own
};

// Bytes of a plane with gaps between heads and tokens, in two blocks, after a restoration by `kernels`.
std::vector<std::byte> restored(const KernelTable& kernels, const Case& c, std::uint32_t seed) {
  std::mt19937 random(seed);
  const std::uint64_t width = c.shape.row_values(), tokens = c.shape.tokens.count(), stride = c.first + tokens + 2;
  std::vector<std::int16_t> indices(width * stride);
  for (auto& index : indices) index = static_cast<std::int16_t>(random() % 13 == 0 ? random() : random() % 7 - 3);
  std::uniform_real_distribution<float> number(-1, 1);
  std::vector<float> scales(width), means(width), scratch(2 * kRestoreStrip * width);
  for (float& scale : scales) scale = c.scale * (2 + number(random));
  for (float& mean : means) mean = c.scale * number(random);
  RopeAngles angles;
  fill_rope_angles(c.rope, 1000, stride, angles);
  const auto head = static_cast<std::ptrdiff_t>(c.shape.head_dim.count() * dtype_size(c.shape.dtype)) + 3;
  const std::ptrdiff_t token = head * static_cast<std::ptrdiff_t>(c.shape.kv_heads.count()) + 5;
  const std::uint64_t block = tokens / 2 + 1;
  std::vector<std::byte> memory(1 + 2 * block * static_cast<std::size_t>(token), std::byte{0xA5});
  std::vector<std::byte*> blocks{memory.data() + 1 + block * static_cast<std::size_t>(token), memory.data() + 1};
  RestoreRows rows{.indices = indices,
                   .stride = stride,
                   .first = c.first,
                   .scales = scales,
                   .means = means,
                   .rope = &c.rope,
                   .angles = &angles,
                   .range = {0, tokens}};
  const std::vector<float> values(indices.begin(), indices.end());
  std::vector<std::uint32_t> row_of(tokens);
  std::iota(row_of.begin(), row_of.end(), 0U);
  std::shuffle(row_of.begin(), row_of.end(), random);
  if (c.is_transformed) rows.indices = {}, rows.values = values, rows.row_of = row_of;
  kernels.restore(rows, c.shape, {blocks, block, token, head}, scratch);
  return memory;
}

TEST_P(Restore, RowsAreThoseOfRef) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16, DType::kE4m3, DType::kE5m2}) {
    for (const std::uint64_t dim : {7, 32, 64, 80, 128}) {
      for (const RopeStyle style : {RopeStyle::kNone, RopeStyle::kPairs, RopeStyle::kHalves}) {
        for (const std::uint64_t tokens : {0, 1, 15, 16, 31, 32, 33, 100}) {
          const std::uint64_t dims = tokens % 2 == 0 ? dim / 2 * 2 : 6;
          const Case c{.shape = {.layers = Layers(1),
                                 .tokens = Tokens(tokens),
                                 .kv_heads = Heads(2),
                                 .head_dim = HeadDim(dim),
                                 .dtype = dtype},
                       .rope = {.style = style, .dims = static_cast<std::uint32_t>(dims)},
                       .first = tokens % 5,
                       .scale = std::pow(10.0F, static_cast<float>(random_() % 80) - 40),
                       .is_transformed = random_() % 2 == 0};
          const auto seed = static_cast<std::uint32_t>(random_());
          ASSERT_EQ(restored(table(), c, seed), restored(ref(), c, seed))
              << static_cast<int>(dtype) << " " << dim << " " << static_cast<int>(style) << " " << tokens;
        }
      }
    }
  }
}

TEST_P(Restore, ColumnsAreLoadedAsInRef) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16, DType::kE4m3, DType::kE5m2}) {
    for (const std::uint64_t dim : {7, 32, 64, 80, 128}) {
      for (const RopeStyle style : {RopeStyle::kNone, RopeStyle::kPairs, RopeStyle::kHalves}) {
        for (const std::uint64_t tokens : {0, 1, 15, 16, 17, 31, 32, 33, 100}) {
          const KvShape shape{.layers = Layers(1),
                              .tokens = Tokens(tokens),
                              .kv_heads = Heads(2),
                              .head_dim = HeadDim(dim),
                              .dtype = dtype};
          const std::uint64_t width = shape.row_values(), dims = tokens % 2 == 0 ? dim / 2 * 2 : 6;
          const RopeSpec rope{.style = style, .dims = static_cast<std::uint32_t>(dims)};
          RopeAngles angles;
          fill_rope_angles(rope, tokens % 3 == 0 ? 0 : 1000, tokens, angles);
          // Small enough for every type: NaNs have no sign that ref would prescribe.
          const std::vector<std::byte> memory = restored(ref(), {.shape = shape, .rope = rope, .scale = 1e-3F}, 99);
          const auto head = static_cast<std::ptrdiff_t>(dim * dtype_size(dtype)) + 3;
          const std::ptrdiff_t token = head * 2 + 5;
          const std::uint64_t block = tokens / 2 + 1;
          const std::vector<const std::byte*> blocks{memory.data() + 1 + block * static_cast<std::size_t>(token),
                                                     memory.data() + 1};
          std::vector<float> means(width), weights(width), scratch(kLoadStrip * width);
          for (std::uint64_t i = 0; i < width; ++i) means[i] = static_cast<float>(i % 5), weights[i] = 0.3F + means[i];
          LoadColumns load{.range = {0, tokens}, .rope = &rope, .angles = &angles};
          if (random_() % 2 == 0) load.means = means, load.weights = weights;
          Guarded<float> got(width * tokens), wanted(width * tokens);
          table().load({blocks, block, token, head}, shape, load, got.values(), scratch);
          ref().load({blocks, block, token, head}, shape, load, wanted.values(), scratch);
          ASSERT_EQ(got, wanted) << static_cast<int>(dtype) << " " << dim << " " << static_cast<int>(style) << " "
                                 << tokens;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Check, Restore, testing::ValuesIn(kTables), table_name);

}  // namespace
}  // namespace sluice::kernels
