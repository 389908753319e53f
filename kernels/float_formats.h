// Element types as fp32 and back, by integer arithmetic without branches so that compilers vectorise the loops.
// One template serves every narrow format: sign, exponent bits, mantissa bits, with or without infinity.
// Rounding is half to even everywhere; denormals are kept. constexpr, so that device code may call it too.
#pragma once

#include <bit>
#include <cstdint>

namespace sluice::kernels {

/// A narrow float with its sign on top. `finite_only`: no infinity, one NaN with all bits set (E4M3).
template <typename Bits, unsigned kMantissa, std::uint32_t kBias, bool kFiniteOnly>
struct NarrowFloat {
  using Storage = Bits;
  static constexpr unsigned kWidth = 8 * sizeof(Bits);
  static constexpr unsigned kShift = 23 - kMantissa;
  static constexpr std::uint32_t kMagnitudeMask = (1U << (kWidth - 1)) - 1U;
  static constexpr std::uint32_t kInfinity = kMagnitudeMask - ((1U << kMantissa) - 1U);
  /// Smallest code that is no finite number: infinity, or the NaN of a finite-only format.
  static constexpr std::uint32_t kSpecial = kFiniteOnly ? kMagnitudeMask : kInfinity;
  static constexpr std::uint32_t kRebias = (127U - kBias) << 23U;

  static constexpr float widen(Bits narrow) {
    const std::uint32_t code = narrow;
    const std::uint32_t magnitude = code & kMagnitudeMask;
    const std::uint32_t shifted = magnitude << kShift;
    // A denormal m * 2^-k is (1 + m') * 2^(1-bias) - 2^(1-bias): exact, and without denormal operands.
    constexpr std::uint32_t kOne = (128U - kBias) << 23U;
    const std::uint32_t small =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(shifted + kOne) - std::bit_cast<float>(kOne));
    std::uint32_t wide = magnitude < (1U << kMantissa) ? small : shifted + kRebias;
    wide |= magnitude >= kSpecial ? 0x7F800000U : 0U;
    wide |= !kFiniteOnly && magnitude > kInfinity ? 0x00400000U : 0U;  // NaNs come out quiet, as hardware has it
    return std::bit_cast<float>(wide | (code >> (kWidth - 1)) << 31U);
  }

  static constexpr Bits narrow(float value) {
    const std::uint32_t code = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = code & 0x7FFFFFFFU;
    constexpr std::uint32_t kHalf = (1U << (kShift - 1)) - 1U;
    const std::uint32_t normal = (magnitude + kHalf + ((magnitude >> kShift) & 1U) - kRebias) >> kShift;
    // Adding a number whose last place is the format's smallest step rounds to that step.
    constexpr std::uint32_t kAlign = (127U + 1U - kBias - kMantissa + 23U) << 23U;
    const std::uint32_t small =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude < kAlign ? magnitude : kAlign) +
                                     std::bit_cast<float>(kAlign)) -
        kAlign;
    std::uint32_t result = magnitude < ((128U - kBias) << 23U) ? small : (normal < kSpecial ? normal : kSpecial);
    // A NaN becomes quiet and keeps the upper bits of its payload, as conversion by hardware has it.
    const std::uint32_t payload = (magnitude >> kShift) & ((1U << kMantissa) - 1U);
    const std::uint32_t nan = kFiniteOnly ? kSpecial : kSpecial | 1U << (kMantissa - 1) | payload;
    result = magnitude > 0x7F800000U ? nan : result;
    return static_cast<Bits>(result | (code >> 31U) << (kWidth - 1));
  }
};

using Float16 = NarrowFloat<std::uint16_t, 10, 15, false>;
using FloatE4m3 = NarrowFloat<std::uint8_t, 3, 7, true>;
using FloatE5m2 = NarrowFloat<std::uint8_t, 2, 15, false>;

/// The upper half of fp32.
struct BFloat16 {
  using Storage = std::uint16_t;
  static constexpr float widen(std::uint16_t narrow) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(narrow) << 16U);
  }
  static constexpr std::uint16_t narrow(float value) {
    const std::uint32_t code = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (code + 0x7FFFU + ((code >> 16U) & 1U)) >> 16U;
    return static_cast<std::uint16_t>((code & 0x7FFFFFFFU) > 0x7F800000U ? (code >> 16U | 0x40U) : rounded);
  }
};

/// fp32 itself.
struct Float32 {
  using Storage = std::uint32_t;
  static constexpr float widen(std::uint32_t code) { return std::bit_cast<float>(code); }
  static constexpr std::uint32_t narrow(float value) { return std::bit_cast<std::uint32_t>(value); }
};

/// The formats by name of their dtype.
struct Formats {
  using F32 = Float32;
  using F16 = Float16;
  using Bf16 = BFloat16;
  using E4m3 = FloatE4m3;
  using E5m2 = FloatE5m2;
};

}  // namespace sluice::kernels
