// Splits values into their top (sign and exponent, coded) and mantissa (stored as it is). Normative: FORMAT.md 4.4.
// Mantissas keep row order: whole low bytes as planes, then what is left packed eight values at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/shape.h"

namespace sluice::codec {

/// Values of one stream: rows are [tokens][width], tops are [width][tokens].
struct StreamExtent {
  std::size_t tokens = 0;
  std::size_t width = 0;
};

/// Stored bits of a mantissa.  Threads: pure.
constexpr unsigned mantissa_bits(kernels::DType dtype) {
  switch (dtype) {
    case kernels::DType::kF32:
      return 23;
    case kernels::DType::kF16:
      return 10;
    case kernels::DType::kBf16:
      return 7;
    case kernels::DType::kE4m3:
      return 3;
    case kernels::DType::kE5m2:
      return 2;
  }
  return 0;
}

/// Bytes that the mantissas of `values` values take.  Threads: pure.
std::size_t mantissa_size(kernels::DType dtype, std::size_t values);

/// Sign and exponent of every value.  Threads: pure.
void split_tops(kernels::DType dtype, std::span<const std::byte> rows, StreamExtent extent,
                std::span<std::uint16_t> tops);
/// Mantissas of every value.  Precondition: out.size() is mantissa_size.  Threads: pure.
void pack_mantissas(kernels::DType dtype, std::span<const std::byte> rows, std::span<std::byte> out);
/// What both make of rows.
struct SplitRows {
  std::span<const std::uint16_t> tops;
  std::span<const std::byte> mantissas;
};
/// Inverse of both.
void join_rows(kernels::DType dtype, const SplitRows& split, StreamExtent extent, std::span<std::byte> rows);

}  // namespace sluice::codec
