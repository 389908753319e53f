// The universal tables: a fixed set of distributions, so that no frequency is ever sent. Normative: FORMAT.md
// section 4.3. A class names one: spread (sigma over base step) and shape of a generalised Gaussian. Both sides hold
// the same checked-in numbers (static_tables_data.cc); nothing here is computed from floats.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/quantize.h"
#include "kernels/rans.h"

namespace sluice::codec {

inline constexpr std::size_t kShapes = 4;
inline constexpr std::size_t kSpreads = 38;
inline constexpr std::size_t kClasses = kShapes * kSpreads;
/// Spreads are a quarter of an octave apart; tokens at half the step use the class one octave up.
inline constexpr std::size_t kFineSpreads = 4;

/// Most low bits of an index that are sent as they are (coefficient_class.h).
inline constexpr std::size_t kMaxLowBits = 6;

static_assert(kernels::kRefinementContexts == kernels::kRansContexts);
static_assert(kernels::kRefinementSymbols == kernels::kRansContextSymbols);

inline constexpr std::size_t kBaseNumbers = 1996;
inline constexpr std::size_t kRefinementNumbers = kClasses * kernels::kRefinementContexts * kernels::kRefinementSymbols;
extern const std::array<std::uint8_t, kBaseNumbers> kBaseFrequencies;
extern const std::array<std::uint8_t, kRefinementNumbers> kRefinement1Frequencies;
extern const std::array<std::uint8_t, kRefinementNumbers> kRefinement2Frequencies;

/// Class of the newest tokens of a channel whose ordinary ones have `ordinary`.  Threads: pure.
constexpr std::size_t fine_class(std::size_t ordinary) {
  const std::size_t spread = ordinary % kSpreads + kFineSpreads;
  return ordinary / kSpreads * kSpreads + (spread < kSpreads ? spread : kSpreads - 1);
}

/// Class of a channel by its variance in squared base steps and its mean magnitude over sigma. Encoder only: the class
/// is sent, so it may depend on floats.  Threads: pure.
std::size_t choose_class(float variance_in_steps, float magnitude_over_sigma);

/// All tables, expanded.
/// Threads: immutable.
struct StaticTables {
  /// Largest magnitude that a base table codes; larger ones escape.
  std::array<std::uint8_t, kClasses> largest{};
  std::array<kernels::RansTable, kClasses> base{};
  std::array<std::array<kernels::RansContexts, kClasses>, 2> refinement{};
  /// By number of bits: all symbols alike.
  std::array<kernels::RansTable, kMaxLowBits + 1> uniform{};
};

/// Expands the checked-in numbers. About 3 MB: build once per encoder or decoder.  Threads: pure.
std::unique_ptr<const StaticTables> make_static_tables();

}  // namespace sluice::codec
