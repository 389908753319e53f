// Laws of gather and scatter: every 8- and 16-bit code comes back, rounding is to nearest even.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/table.h"

namespace sluice::kernels {
namespace {

constexpr DType kNarrow[] = {DType::kF16, DType::kBf16, DType::kE4m3, DType::kE5m2};

KvShape row_of(DType dtype, std::size_t values) {
  return {.layers = Layers(1), .tokens = Tokens(1), .kv_heads = Heads(1), .head_dim = HeadDim(values), .dtype = dtype};
}

std::vector<float> widen(DType dtype, const std::vector<std::byte>& codes) {
  const std::size_t values = codes.size() / dtype_size(dtype);
  std::vector<float> wide(values);
  const std::byte* block = codes.data();
  ref_kernels().gather({{&block, 1}, 1, 0, 0}, row_of(dtype, values), {0, 1}, wide);
  return wide;
}

std::vector<std::byte> narrow(DType dtype, const std::vector<float>& values) {
  std::vector<std::byte> codes(values.size() * dtype_size(dtype));
  std::byte* block = codes.data();
  ref_kernels().scatter(values, row_of(dtype, values.size()), {0, 1}, {{&block, 1}, 1, 0, 0});
  return codes;
}

std::vector<std::byte> all_codes(DType dtype) {
  std::vector<std::byte> codes;
  const std::uint32_t count = 1U << (8 * dtype_size(dtype));
  for (std::uint32_t code = 0; code < count; ++code) {
    codes.push_back(static_cast<std::byte>(code));
    if (dtype_size(dtype) == 2) codes.push_back(static_cast<std::byte>(code >> 8U));
  }
  return codes;
}

// Mantissa bits, bias and layout from the formats' definitions, by plain arithmetic.
double meaning(DType dtype, std::uint32_t code) {
  const unsigned mantissa = dtype == DType::kF16 ? 10 : dtype == DType::kBf16 ? 7 : dtype == DType::kE4m3 ? 3 : 2;
  const int bias = dtype == DType::kF16 || dtype == DType::kE5m2 ? 15 : dtype == DType::kBf16 ? 127 : 7;
  const unsigned width = static_cast<unsigned>(8 * dtype_size(dtype));
  const std::uint32_t magnitude = code & ((1U << (width - 1)) - 1);
  const std::uint32_t largest_exponent = (1U << (width - 1 - mantissa)) - 1;
  const std::uint32_t exponent = magnitude >> mantissa, fraction = magnitude & ((1U << mantissa) - 1);
  const double sign = code >> (width - 1) != 0 ? -1.0 : 1.0;
  if (dtype == DType::kE4m3 ? magnitude == 0x7F : exponent == largest_exponent && fraction != 0) return NAN;
  if (dtype != DType::kE4m3 && exponent == largest_exponent) return sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - static_cast<int>(mantissa));
  return sign * std::ldexp((1U << mantissa) + fraction, static_cast<int>(exponent) - bias - static_cast<int>(mantissa));
}

TEST(Gather, EveryCodeHasItsDefinedValue) {
  for (const DType dtype : kNarrow) {
    const std::vector<float> wide = widen(dtype, all_codes(dtype));
    for (std::uint32_t code = 0; code < wide.size(); ++code) {
      const double expected = meaning(dtype, code);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(wide[code])) << code;
      } else {
        EXPECT_EQ(static_cast<double>(wide[code]), expected) << code;
        EXPECT_EQ(std::signbit(wide[code]), std::signbit(expected)) << code;
      }
    }
  }
}

TEST(Scatter, EveryCodeThatIsNoNanComesBack) {
  for (const DType dtype : kNarrow) {
    const std::vector<std::byte> codes = all_codes(dtype);
    const std::vector<float> wide = widen(dtype, codes);
    const std::vector<std::byte> back = narrow(dtype, wide);
    const std::size_t size = dtype_size(dtype);
    for (std::size_t i = 0; i < wide.size(); ++i) {
      if (std::isnan(wide[i])) continue;
      EXPECT_EQ(std::memcmp(&back[i * size], &codes[i * size], size), 0) << i;
    }
  }
}

TEST(Scatter, RoundsToTheNearestAndTiesToEven) {
  std::mt19937 random(1);
  for (const DType dtype : kNarrow) {
    const std::size_t size = dtype_size(dtype);
    const std::vector<float> wide = widen(dtype, all_codes(dtype));
    std::vector<float> between;
    std::vector<std::size_t> expected;
    for (std::size_t code = 0; code + 1 < wide.size() / 2; ++code) {
      const double low = wide[code], high = wide[code + 1];
      if (!std::isfinite(low) || !std::isfinite(high)) continue;
      between.push_back(static_cast<float>((low + high) / 2));
      expected.push_back(code % 2 == 0 ? code : code + 1);
      if (static_cast<double>(between.back()) != (low + high) / 2) continue;
      between.push_back(std::nextafterf(between.back(), -1.0F));
      expected.push_back(code);
      between.push_back(std::nextafterf(static_cast<float>((low + high) / 2), INFINITY));
      expected.push_back(code + 1);
    }
    const std::vector<std::byte> codes = narrow(dtype, between);
    for (std::size_t i = 0; i < between.size(); ++i) {
      std::uint32_t code = 0;
      std::memcpy(&code, &codes[i * size], size);
      EXPECT_EQ(code, expected[i]) << between[i];
    }
  }
}

TEST(Scatter, NanStaysNanAndOverflowIsNeverAFiniteNumber) {
  for (const DType dtype : kNarrow) {
    const std::vector<float> wide = widen(dtype, narrow(dtype, {NAN, -NAN, INFINITY, -INFINITY, 3.4e38F}));
    EXPECT_TRUE(std::isnan(wide[0]) && std::isnan(wide[1]));
    for (std::size_t i = 2; i < 5; ++i) EXPECT_FALSE(std::isfinite(wide[i])) << static_cast<int>(dtype);
  }
}

}  // namespace
}  // namespace sluice::kernels
