// Bits of every index in every entropy class, as matrices, so that the class of a coefficient is chosen by exact code
// length. Place in the flow: one object per calibration, asked for every stream. Invariant: the costs are those of the
// tables that the codec codes with (coefficient_class.h); nothing here models them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "codec/calibration/matrix.h"
#include "codec/coefficient_class.h"
#include "codec/rate_prices.h"

namespace sluice::codec::calibration {

/// Indices up to this magnitude are counted one by one.
inline constexpr std::int32_t kCountedIndex = 127;
inline constexpr Eigen::Index kCountedBins = 2 * kCountedIndex + 1;
/// Contexts x differences of a refinement.
inline constexpr Eigen::Index kRefinementBins =
    Eigen::Index{kernels::kRefinementContexts} * kernels::kRefinementSymbols;

/// Threads: immutable.
class CodeBook {
 public:
  CodeBook();

  /// Bits of an index; 0 for the silent class.
  float bits(std::uint8_t coefficient_class, std::int32_t index) const;
  /// Bin of an index: magnitudes beyond kCountedIndex count as that.
  static Eigen::Index bin(std::int32_t index);

  /// Bin of a refinement, of [0, kRefinementBins).
  static Eigen::Index refinement_bin(std::int32_t coarse, std::int32_t fine);

  /// Cheapest class for each row of counts [rows][kCountedBins].  Shape: result [rows].
  std::vector<std::uint8_t> cheapest(const Samples& counts) const;
  /// Cheapest class of these very indices, of any magnitude. Slower.
  std::uint8_t cheapest_of(std::span<const std::int16_t> indices) const;
  /// Cheapest class of refinement `stage` for each row of counts [rows][kRefinementBins].
  std::vector<std::uint8_t> cheapest_refinement(std::size_t stage, const Samples& counts) const;
  float refinement_bits(std::size_t stage, std::uint8_t universal_class, Eigen::Index bin) const;
  /// Of the encoder's rounding, which knows the same costs.
  const RatePrices& prices() const { return prices_; }

 private:
  ClassCosts costs_;
  RatePrices prices_;
  Samples index_bits_;                      ///< [kCountedBins][kCodedClasses]
  std::array<Samples, 2> refinement_bits_;  ///< [kRefinementBins][kClasses]
};

/// A class of the same shape for values 2^(quarters / 4) times as large.
std::uint8_t shifted_class(std::uint8_t coefficient_class, int quarters);

}  // namespace sluice::codec::calibration
