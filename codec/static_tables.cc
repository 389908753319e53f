#include "codec/static_tables.h"

#include <algorithm>

#include "base/assert.h"

namespace sluice::codec {
namespace {

// 2^(-9 + (i - 1/2) / 2): variances between two neighbouring spreads i - 1 and i, i = 1..37.
struct SpreadBoundaries {
  std::array<float, kSpreads> of{};
  constexpr SpreadBoundaries() {
    constexpr float kHalfStep[2] = {0.84089642F, 1.18920712F};  // 2^-1/4, 2^1/4
    float octave = 1.0F / 512.0F;
    for (std::size_t i = 0; i < kSpreads; ++i) {
      of[i] = octave * kHalfStep[i % 2];
      if (i % 2 == 1) octave *= 2;
    }
  }
};
constexpr SpreadBoundaries kBoundaries;

// Between the mean magnitudes over sigma of shapes .6, .9, 1.3, 2: .590, .675, .745, .798.
constexpr std::array<float, kShapes - 1> kShapeBoundaries{0.632F, 0.710F, 0.772F};

void fill_refinement(const std::array<std::uint8_t, kRefinementNumbers>& numbers,
                     std::array<kernels::RansContexts, kClasses>& tables) {
  std::array<std::array<std::uint16_t, kernels::kRefinementSymbols>, kernels::kRefinementContexts> frequencies{};
  auto next = numbers.begin();
  for (kernels::RansContexts& contexts : tables) {
    for (auto& own : frequencies) {
      std::copy_n(next, own.size(), own.begin());
      next += static_cast<std::ptrdiff_t>(own.size());
    }
    SLUICE_ASSERT(make_rans_contexts({frequencies[0], frequencies[1], frequencies[2], frequencies[3]}, contexts));
  }
}

// Numbers of one base table: largest, then frequency of |n| = 0..largest for either sign, then of the escape.
void fill_base(StaticTables& tables) {
  std::array<std::uint16_t, kernels::kRansMaxSymbols> frequencies{};
  std::size_t at = 0;
  for (std::size_t index = 0; index < kClasses; ++index) {
    const std::size_t largest = kBaseFrequencies[at++];
    for (std::size_t symbol = 0; symbol <= 2 * largest; ++symbol) {
      frequencies[symbol] = kBaseFrequencies[at + (symbol + 1) / 2];
    }
    frequencies[2 * largest + 1] = kBaseFrequencies[at + largest + 1];
    at += largest + 2;
    tables.largest[index] = static_cast<std::uint8_t>(largest);
    SLUICE_ASSERT(make_rans_table(std::span(frequencies).first(2 * largest + 2), tables.base[index]));
  }
  SLUICE_ASSERT(at == kBaseNumbers);
}

void fill_uniform(StaticTables& tables) {
  std::array<std::uint16_t, kernels::kRansMaxSymbols> frequencies{};
  for (std::size_t bits = 0; bits <= kMaxLowBits; ++bits) {
    const std::size_t symbols = std::size_t{1} << bits;
    std::fill_n(frequencies.begin(), symbols, static_cast<std::uint16_t>(kernels::kRansSlots >> bits));
    SLUICE_ASSERT(make_rans_table(std::span(frequencies).first(symbols), tables.uniform[bits]));
  }
}

}  // namespace

std::size_t choose_class(float variance_in_steps, float magnitude_over_sigma) {
  std::size_t spread = 0;
  while (spread + 1 < kSpreads && variance_in_steps >= kBoundaries.of[spread + 1]) ++spread;
  std::size_t shape = 0;
  while (shape + 1 < kShapes && magnitude_over_sigma >= kShapeBoundaries[shape]) ++shape;
  return shape * kSpreads + spread;
}

std::unique_ptr<const StaticTables> make_static_tables() {
  auto tables = std::make_unique<StaticTables>();
  fill_base(*tables);
  fill_uniform(*tables);
  fill_refinement(kRefinement1Frequencies, tables->refinement[0]);
  fill_refinement(kRefinement2Frequencies, tables->refinement[1]);
  return tables;
}

}  // namespace sluice::codec
