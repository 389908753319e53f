// Symbols for the entropy coders: drawn from a generalised Gaussian's table as channels of a cache have them, the same
// bytes for every coder. 2.0 bits a symbol, 10 symbols, 256 KiB: inside the second-level cache, or 64 MiB: outside of
// all.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "kernels/rans.h"

namespace sluice::bench {

inline constexpr std::size_t kStreams = 8;
inline constexpr std::size_t kInCache = std::size_t{256} << 10U;
inline constexpr std::size_t kOutOfCache = std::size_t{64} << 20U;
inline constexpr std::array<std::uint16_t, 10> kFrequencies{116, 52, 52, 13, 13, 3, 3, 1, 1, 2};

/// Bits of these symbols under kFrequencies: what a perfect coder with these tables needs.
inline double ideal_bits(std::span<const std::uint8_t> symbols) {
  double bits = 0;
  for (const std::uint8_t symbol : symbols) bits -= std::log2(kFrequencies[symbol] / 256.0);
  return bits;
}

/// `count` symbols under kFrequencies.
inline std::vector<std::uint8_t> draw_symbols(std::size_t count) {
  std::array<std::uint8_t, kernels::kRansSlots> of_slot;
  std::size_t slot = 0;
  for (std::size_t symbol = 0; symbol < kFrequencies.size(); ++symbol) {
    for (std::uint16_t i = 0; i < kFrequencies[symbol]; ++i) of_slot[slot++] = static_cast<std::uint8_t>(symbol);
  }
  std::mt19937 random(1);
  std::vector<std::uint8_t> symbols(count);
  for (std::uint8_t& symbol : symbols) symbol = of_slot[random() >> 24U];
  return symbols;
}

}  // namespace sluice::bench
