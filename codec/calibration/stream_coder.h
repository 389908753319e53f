// One stream (K or V of one layer) at one level, as the codec would code it: indices, entropy classes, decoded
// coefficients, bits and damage, without a bitstream. Place in the flow: prediction is trained on what this decodes,
// and every level's entropy classes are chosen here. Invariant: decoded values are those of FORMAT.md for the same
// indices.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "codec/calibration/code_book.h"
#include "codec/calibration/matrix.h"
#include "codec/encoder.h"

namespace sluice::codec::calibration {

/// An index of +-1 decodes to this many steps after rate-distortion rounding, which empties the low side of its cell.
inline constexpr float kUnitMagnitude = 1.02F;

/// What is coded: coefficients less their prediction.
struct StreamInput {
  const Samples* residual = nullptr;         ///< [tokens][width], weighted domain
  const Eigen::VectorXi* classes = nullptr;  ///< token classes, kFinestClass..kCoarsestClass
  float step = 1;
  std::size_t stages = 1;  ///< 1: rate-distortion rounding; more: nested, without
};

/// Bits and damage with the first s + 1 stages.
struct StageCost {
  double bits = 0;
  double squared_error = 0;  ///< sum over values of (error / token scale)^2, weighted domain
};

/// What comes out.
struct StreamOutput {
  /// [stages][token classes][width], finest class first.
  std::array<std::vector<std::uint8_t>, kNestedStages> classes;
  Samples decoded;  ///< residual as the decoder has it with the first stage, which is what predicts
  std::array<StageCost, kNestedStages> cost{};
};

/// Chooses classes and codes.  Threads: pure.
StreamOutput code_stream(const CodeBook& book, const StreamInput& input);

}  // namespace sluice::codec::calibration
