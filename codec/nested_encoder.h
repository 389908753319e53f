// Writes base, refinement 1 and refinement 2 of one unit. Each stage is filled at its largest possible offset, then
// moved down, so that one pass over the planes serves all stages.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "codec/encoder.h"
#include "codec/plane_columns.h"
#include "codec/plane_symbols.h"

namespace sluice::codec {

/// Threads: one call at a time.
class NestedEncoder {
 public:
  NestedEncoder(const kernels::KernelTable& kernels, const EncoderOptions& options);

  static Bytes max_size(const kernels::KvShape& shape, Part part);

  /// As Encoder::encode.
  Result<EncodedUnit> encode(const kernels::UnitView& unit, const UnitContext& context, std::span<std::byte> out);

 private:
  /// One frame while it grows.
  struct Stage {
    FrameHeader header;
    NestedLayout layout;
    std::span<std::byte> frame;
    std::size_t end = 0;  ///< of the payload so far
  };
  using Stages = std::array<Stage, kNestedStages>;

  Stages plan(const kernels::UnitView& unit, const UnitContext& context, std::span<std::byte> out) const;
  Result<void> encode_plane(const kernels::UnitView& unit, std::size_t stream, Stages& stages);
  void write_side_information(std::size_t stream, const Stage& base) const;
  void write_stream(std::size_t stage_index, std::size_t stream, Stage& stage);
  EncodedUnit seal(Stages& stages, std::span<std::byte> out) const;

  const kernels::KernelTable* kernels_;
  EncoderOptions options_;
  std::unique_ptr<const StaticTables> tables_;
  kernels::RopeSpec rope_;
  kernels::RopeAngles angles_;
  StripScratch strip_;
  std::vector<float> columns_;
  PlaneSymbols plane_;
  std::vector<std::byte> words_;
  std::vector<std::int16_t> escapes_;
};

}  // namespace sluice::codec
