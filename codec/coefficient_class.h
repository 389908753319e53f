// The entropy class of a coefficient: one byte of a profile. Normative: FORMAT.md section 4.3. Below kClasses it names
// a universal table; above, a universal table and a number of low bits that are sent as they are (coefficients of many
// steps, whose low bits carry no structure); the last one says that the coefficient is never coded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "codec/static_tables.h"

namespace sluice::codec {

/// Wide classes go on where the universal ones become poor: spread 30 .. 53, sigma up to 2^8.75 steps.
inline constexpr std::size_t kFirstWideSpread = 30;
inline constexpr std::size_t kWideSpreads = 24;
inline constexpr std::size_t kCodedClasses = kClasses + kShapes * kWideSpreads;
inline constexpr std::uint8_t kSilentClass = 255;

/// Escapes of streams with a profile (run_encoder.h): the byte's low bits that say that the index follows, and its
/// sign.
inline constexpr std::int32_t kLongEscape = 127;
inline constexpr std::int32_t kEscapeSign = 128;

/// Class of a shape (0..3: .6, .9, 1.3, 2) and spread: sigma = 2^(-4.5 + spread / 4) steps.
/// Precondition: kFirstWideSpread <= spread < kFirstWideSpread + kWideSpreads.  Threads: pure.
constexpr std::uint8_t wide_class(std::size_t shape, std::size_t spread) {
  return static_cast<std::uint8_t>(kClasses + shape * kWideSpreads + spread - kFirstWideSpread);
}

/// How a class codes an index n: high part (n + 2^low_bits / 2) >> low_bits with table `table`, then the low bits.
struct ClassCode {
  std::uint8_t table = 0;
  std::uint8_t low_bits = 0;
};
/// Precondition: coefficient_class < kCodedClasses.  Threads: pure.
constexpr ClassCode class_code(std::size_t coefficient_class) {
  if (coefficient_class < kClasses) return {static_cast<std::uint8_t>(coefficient_class), 0};
  const std::size_t wide = coefficient_class - kClasses;
  const std::size_t octaves = wide % kWideSpreads / 4;
  const std::size_t table = wide / kWideSpreads * kSpreads + kFirstWideSpread - 4 + wide % 4;
  return {static_cast<std::uint8_t>(table), static_cast<std::uint8_t>(octaves + 1)};
}

/// Stands for what cannot be said: more than anything that can, and finite, so that no occurrence costs nothing.
inline constexpr float kNeverBits = 64;

/// Bits that one index costs, escapes included. For rate decisions and calibration; decoders never need it.
/// Threads: immutable.
class ClassCosts {
 public:
  ClassCosts();
  /// Base: index of any magnitude. Precondition: coefficient_class < kCodedClasses.
  float index_bits(std::size_t coefficient_class, std::int32_t index) const;
  /// Refinement 1 or 2: difference -1..2 to three times a coarse index of magnitude min(|n|, 3) = context, its sign
  /// turned with the coarse one's; kNeverBits where the table has no slot for it. Precondition: universal_class <
  /// kClasses.
  float refinement_bits(std::size_t stage, std::size_t universal_class, std::size_t context,
                        std::int32_t difference) const;

 private:
  std::unique_ptr<const StaticTables> tables_;
  std::vector<float> slots_bits_;  ///< [257] -log2(frequency / 256)
};

}  // namespace sluice::codec
