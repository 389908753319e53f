// Which channels of a lossless stream share a table, and the tables. Encoder only: the result is sent.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/rans.h"

namespace sluice::codec {

inline constexpr std::size_t kMaxGroups = 16;
/// One symbol more is the escape.
inline constexpr std::size_t kMaxAlphabet = kernels::kRansMaxSymbols - 1;

using Frequencies = std::array<std::uint16_t, kernels::kRansMaxSymbols>;

/// The outcome: a group per channel, a table per group.
struct ChannelGroups {
  std::vector<std::uint8_t> group_of;    ///< [width]
  std::vector<Frequencies> frequencies;  ///< [groups], each sums to kRansSlots
};

/// Extent of a stream's symbols; `symbols` counts the alphabet with its escape.
struct SymbolExtent {
  std::size_t width = 0;
  std::size_t tokens = 0;
  std::size_t symbols = 0;
};

/// Groups channels of alike distributions. symbols = [width][tokens].  Threads: pure.
ChannelGroups group_channels(std::span<const std::uint8_t> symbols, const SymbolExtent& extent);

}  // namespace sluice::codec
