// The distribution of tops (sign and exponent) that a group of lossless channels shares, as it is sent and as symbols
// of rANS. Normative: FORMAT.md section 4.4. Invariant: what parse() accepts sums to the slots and names no top twice.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "kernels/rans.h"

namespace sluice::codec {

/// Tops have at most 9 bits: a sign and 8 bits of exponent.
inline constexpr std::size_t kMaxTops = 512;
/// Tops with a symbol of their own; one symbol more is the escape.
inline constexpr std::size_t kMaxTableTops = kernels::kRansMaxSymbols - 1;

/// Symbols 0 .. tops - 1 stand for rising tops, symbol `count` for an escape.
struct TopTable {
  std::size_t count = 0;
  std::array<std::uint16_t, kMaxTableTops> tops{};
  std::array<std::uint16_t, kernels::kRansMaxSymbols> frequencies{};  ///< [count + 1]
};

/// A table that codes tops which occur counts[top] times cheaply; those too rare for a slot of their own escape.
/// Precondition: at most kMaxTops counts, not all 0.  Threads: pure.
TopTable fit_top_table(std::span<const std::uint32_t> counts);

/// Most bytes that write_top_table() needs: the escape, and three for a top that follows no other; gaps of 256 and more
/// take two more, once or twice.
inline constexpr std::size_t kMaxTopTableSize = 5 + 3 * kMaxTableTops;
/// Returns the size.  Precondition: out.size() >= kMaxTopTableSize.  Threads: pure.
std::size_t write_top_table(const TopTable& table, std::span<std::byte> out);
/// Returns the bytes used.  Errors: kCorruptStream.  Threads: pure.
Result<std::size_t> parse_top_table(std::span<const std::byte> in, TopTable& table);

}  // namespace sluice::codec
