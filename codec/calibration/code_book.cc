#include "codec/calibration/code_book.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/assert.h"

namespace sluice::codec::calibration {
namespace {

/// From this spread on a wide class costs less than the universal one of the same spread.
constexpr int kWidePays = 34;
constexpr std::int32_t kSymbols = kernels::kRefinementSymbols;

std::vector<std::uint8_t> row_minima(const Samples& bits) {
  std::vector<std::uint8_t> chosen(static_cast<std::size_t>(bits.rows()));
  for (Eigen::Index row = 0; row < bits.rows(); ++row) {
    Eigen::Index least = 0;
    bits.row(row).minCoeff(&least);
    chosen[static_cast<std::size_t>(row)] = static_cast<std::uint8_t>(least);
  }
  return chosen;
}

}  // namespace

CodeBook::CodeBook() : index_bits_(kCountedBins, static_cast<Eigen::Index>(kCodedClasses)) {
  for (std::size_t each = 0; each < kCodedClasses; ++each) {
    for (std::int32_t index = -kCountedIndex; index <= kCountedIndex; ++index) {
      index_bits_(bin(index), static_cast<Eigen::Index>(each)) = costs_.index_bits(each, index);
    }
  }
  for (std::size_t stage = 1; stage <= refinement_bits_.size(); ++stage) {
    Samples& bits = refinement_bits_[stage - 1];
    bits.resize(kRefinementBins, static_cast<Eigen::Index>(kClasses));
    for (std::size_t each = 0; each < kClasses; ++each) {
      for (std::int32_t at = 0; at < kRefinementBins; ++at) {
        bits(at, static_cast<Eigen::Index>(each)) =
            costs_.refinement_bits(stage, each, static_cast<std::size_t>(at / kSymbols), at % kSymbols - 1);
      }
    }
  }
}

float CodeBook::bits(std::uint8_t coefficient_class, std::int32_t index) const {
  if (coefficient_class == kSilentClass) return 0;
  if (std::abs(index) <= kCountedIndex) return index_bits_(bin(index), coefficient_class);
  return costs_.index_bits(coefficient_class, index);
}

Eigen::Index CodeBook::bin(std::int32_t index) {
  return std::clamp(index, -kCountedIndex, kCountedIndex) + kCountedIndex;
}

Eigen::Index CodeBook::refinement_bin(std::int32_t coarse, std::int32_t fine) {
  const std::int32_t difference = (fine - 3 * coarse) * (coarse < 0 ? -1 : 1);
  SLUICE_ASSERT(difference >= -1 && difference <= 2);
  constexpr std::int32_t kLastContext = kernels::kRefinementContexts - 1;
  return std::min(std::abs(coarse), kLastContext) * kSymbols + difference + 1;
}

std::vector<std::uint8_t> CodeBook::cheapest(const Samples& counts) const {
  SLUICE_ASSERT(counts.cols() == kCountedBins);
  return row_minima(counts * index_bits_);
}

std::uint8_t CodeBook::cheapest_of(std::span<const std::int16_t> indices) const {
  std::size_t chosen = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t each = 0; each < kCodedClasses; ++each) {
    double sum = 0;
    for (const std::int16_t index : indices) sum += costs_.index_bits(each, index);
    if (sum < least) {
      least = sum;
      chosen = each;
    }
  }
  return static_cast<std::uint8_t>(chosen);
}

std::vector<std::uint8_t> CodeBook::cheapest_refinement(std::size_t stage, const Samples& counts) const {
  SLUICE_ASSERT(counts.cols() == kRefinementBins);
  return row_minima(counts * refinement_bits_[stage - 1]);
}

float CodeBook::refinement_bits(std::size_t stage, std::uint8_t universal_class, Eigen::Index bin) const {
  if (universal_class == kSilentClass) return 0;
  return refinement_bits_[stage - 1](bin, universal_class);
}

std::uint8_t shifted_class(std::uint8_t coefficient_class, int quarters) {
  constexpr int kLastSpread = static_cast<int>(kFirstWideSpread + kWideSpreads) - 1;
  std::size_t shape = 0;
  int spread = 0;
  if (coefficient_class < kClasses) {
    shape = coefficient_class / kSpreads;
    spread = static_cast<int>(coefficient_class % kSpreads);
  } else if (coefficient_class != kSilentClass) {
    shape = (coefficient_class - kClasses) / kWideSpreads;
    spread = static_cast<int>((coefficient_class - kClasses) % kWideSpreads + kFirstWideSpread);
  } else if (quarters <= 0) {
    return kSilentClass;
  }
  spread = std::clamp(spread + quarters, 0, kLastSpread);
  if (spread >= kWidePays) return wide_class(shape, static_cast<std::size_t>(spread));
  return static_cast<std::uint8_t>(shape * kSpreads + static_cast<std::size_t>(spread));
}

}  // namespace sluice::codec::calibration
