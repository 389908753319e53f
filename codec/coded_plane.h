// One stream on its way to words: what a fitted plane (T0) and a plane of a profile (T1 to T3) look like to the writer
// of frames. Views only.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "codec/frame.h"
#include "codec/token_groups.h"
#include "kernels/rans.h"

namespace sluice::codec {

/// Ownership: views; valid until the source's next stream.
struct CodedPlane {
  const TokenGroups* groups = nullptr;
  std::array<std::span<const std::uint8_t>, kNestedStages> classes;  ///< by stage: [groups][width]
  std::array<std::span<const std::int16_t>, kNestedStages> indices;  ///< by stage: [width][places]
  /// Token class of every coded token, where this stream carries them in front, and their table.
  std::span<const std::uint8_t> token_classes;
  const kernels::RansTable* token_class_table = nullptr;
};

}  // namespace sluice::codec
