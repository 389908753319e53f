// What is sent of a plane without a profile (tier T0): steps, means and classes fitted to its columns, and the indices
// of all stages. Encoder only; nothing here is normative except that decoders read the result as FORMAT.md section 5
// says.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/nested_layout.h"
#include "codec/static_tables.h"
#include "codec/token_groups.h"
#include "kernels/table.h"

namespace sluice::codec {

/// bf16 bits of a value, rounded half to even, and back. How steps and means are sent.  Threads: pure.
std::uint16_t to_bf16(float value);
float from_bf16(std::uint16_t bits);

/// Steps of every stage, as fractions of the base step: 1, 1/3, 1/9.  Normative as decoded values follow from it.
inline constexpr std::array<float, kNestedStages> kStageStep{1.0F, 1.0F / 3.0F, 1.0F / 9.0F};
/// Steps of the last stage in one of the base.
inline constexpr float kFinestScale = 9.0F;

/// One plane. Reused from plane to plane; grows once.
struct PlaneFit {
  std::vector<std::uint16_t> steps;   ///< [heads] bf16
  std::vector<std::uint16_t> means;   ///< [width] bf16
  std::vector<std::uint8_t> classes;  ///< [2][width]: of ordinary tokens, then of fine ones; the first are sent
  std::array<std::vector<std::int16_t>, kNestedStages> indices;  ///< [width][coded]

  std::vector<kernels::ColumnMoments> moments;  ///< [width]
};

/// Variance around a mean as it is sent (bf16 bits), not as it is.  Threads: pure.
float sent_variance(const kernels::ColumnMoments& moments, std::uint16_t mean);

/// What to fit.
struct PlaneInput {
  std::span<const float> columns;  ///< [width][coded], RoPE undone
  NestedLayout layout;
  float relative_step = 1.0F;  ///< base step over the rms of a head
};

/// Fills all of `out` but its indices: what is sent of the channels besides them.
/// Errors: kUnsupported for NaN, infinity, or values whose square overflows fp32.
Result<void> fit_channels(const kernels::KernelTable& kernels, const PlaneInput& input, PlaneFit& out);
/// Fills `out`.  Errors: as fit_channels.
Result<void> fit_plane(const kernels::KernelTable& kernels, const PlaneInput& input, PlaneFit& out);

}  // namespace sluice::codec
