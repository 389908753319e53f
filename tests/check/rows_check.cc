// Gather and scatter of every table against ref: all patterns of the narrow types, random fp32, all lengths, pages at
// odd addresses with gaps between rows.
#include <bit>
#include <cmath>

#include "tests/check/every_table.h"

namespace sluice::kernels {
namespace {

class Rows : public EveryTable {};

constexpr std::array kTypes{DType::kF32, DType::kF16, DType::kBf16, DType::kE4m3, DType::kE5m2};

// Pages of three tokens with padding after heads and tokens, none of it aligned.
struct Pages {
  KvShape shape;
  std::ptrdiff_t head_stride, token_stride;
  std::vector<std::byte> bytes;
  std::vector<std::byte*> blocks;

  Pages(const KvShape& of, std::ptrdiff_t gap) : shape(of) {
    head_stride = static_cast<std::ptrdiff_t>(of.head_dim.count() * dtype_size(of.dtype)) + gap;
    token_stride = head_stride * static_cast<std::ptrdiff_t>(of.kv_heads.count()) + gap;
    const std::size_t count = (of.tokens.count() + 2) / 3;
    const std::size_t block = static_cast<std::size_t>(3 * token_stride) + 5;
    bytes.resize(count * block + 1);
    for (std::size_t i = 0; i < count; ++i) blocks.push_back(bytes.data() + 1 + (count - 1 - i) * block);
  }
  MutablePlaneView view() { return {blocks, 3, token_stride, head_stride}; }
};

PlaneView constant(const Pages& pages, std::vector<const std::byte*>& blocks) {
  blocks.assign(pages.blocks.begin(), pages.blocks.end());
  return {blocks, 3, pages.token_stride, pages.head_stride};
}

void fill(std::vector<std::byte>& bytes, std::mt19937& random) {
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
}

void expect_same_bits(std::span<const float> got, std::span<const float> wanted) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(wanted[i])) << "value " << i;
  }
}

KvShape row_of(DType dtype, std::size_t values) {
  return {.layers = Layers(1), .tokens = Tokens(1), .kv_heads = Heads(1), .head_dim = HeadDim(values), .dtype = dtype};
}

TEST_P(Rows, EveryPatternOfANarrowTypeIsWidenedAsInRef) {
  for (const DType dtype : kTypes) {
    if (dtype == DType::kF32) continue;
    const std::size_t size = dtype_size(dtype);
    std::vector<std::byte> codes((std::size_t{1} << (8 * size)) * size);
    for (std::size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<std::byte>(size == 1 ? i : i / 2 >> (i % 2 * 8));
    const std::size_t values = codes.size() / size;
    const std::byte* block = codes.data();
    std::vector<float> got(values), wanted(values);
    SCOPED_TRACE(static_cast<int>(dtype));
    table().gather({{&block, 1}, 1, 0, 0}, row_of(dtype, values), {0, 1}, got);
    ref().gather({{&block, 1}, 1, 0, 0}, row_of(dtype, values), {0, 1}, wanted);
    expect_same_bits(got, wanted);
  }
}

// Every upper half of fp32 with lower halves around each rounding boundary, so all exponents, NaNs and denormals occur.
TEST_P(Rows, Fp32OfEveryExponentIsNarrowedAsInRef) {
  constexpr std::array<std::uint32_t, 9> kLower{0, 1, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
  std::vector<float> values;
  for (std::uint32_t upper = 0; upper < 65536; ++upper) {
    for (const std::uint32_t lower : kLower) values.push_back(std::bit_cast<float>(upper << 16U | lower));
  }
  for (const DType dtype : kTypes) {
    Guarded<std::byte> got(values.size() * dtype_size(dtype)), wanted(values.size() * dtype_size(dtype));
    std::byte *to = got.values().data(), *wanted_to = wanted.values().data();
    table().scatter(values, row_of(dtype, values.size()), {0, 1}, {{&to, 1}, 1, 0, 0});
    ref().scatter(values, row_of(dtype, values.size()), {0, 1}, {{&wanted_to, 1}, 1, 0, 0});
    ASSERT_EQ(got, wanted) << static_cast<int>(dtype);
  }
}

TEST_P(Rows, PagesOfAnyShapeAreReadAndWrittenAsInRef) {
  std::mt19937 random(99);
  for (const DType dtype : kTypes) {
    for (const std::size_t dim : lengths()) {
      if (dim == 0 || dim > 129) continue;
      for (const std::ptrdiff_t gap : {0, 3}) {
        const KvShape shape{
            .layers = Layers(1), .tokens = Tokens(7), .kv_heads = Heads(2), .head_dim = HeadDim(dim), .dtype = dtype};
        Pages pages(shape, gap);
        fill(pages.bytes, random);
        std::vector<const std::byte*> blocks;
        const TokenRange range{1, 5};
        Guarded<float> got(5 * shape.row_values()), wanted(5 * shape.row_values());
        table().gather(constant(pages, blocks), shape, range, got.values());
        ref().gather(constant(pages, blocks), shape, range, wanted.values());
        ASSERT_EQ(got, wanted) << dim;
        Pages target(shape, gap), wanted_target(shape, gap);
        table().scatter(wanted.values(), shape, range, target.view());
        ref().scatter(wanted.values(), shape, range, wanted_target.view());
        ASSERT_EQ(target.bytes, wanted_target.bytes) << dim;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Check, Rows, testing::ValuesIn(kTables), table_name);

}  // namespace
}  // namespace sluice::kernels
