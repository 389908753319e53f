// Reads base and refinements of one unit. Two passes: first all symbols of all frames into indices, with every check;
// only then values into pages.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "codec/encoder.h"
#include "codec/nested_layout.h"
#include "codec/plane_columns.h"
#include "codec/static_tables.h"

namespace sluice::codec {

/// Threads: one call at a time.
class NestedDecoder {
 public:
  explicit NestedDecoder(const kernels::KernelTable& kernels);

  /// stages: parsed frames, base first; shape, rope and position were compared with what is expected already.
  /// Errors: kBadField, kBadLength, kCorruptStream; `out` is then untouched.
  Result<void> decode(std::span<const FrameView> stages, const kernels::MutableUnitView& out);

 private:
  /// Reads one stage's streams one after the other.
  struct Cursor {
    NestedLayout layout;
    std::span<const std::byte> payload;
    std::size_t words_at = 0;
    std::size_t escapes_at = 0;
  };

  Result<void> read_stage(std::size_t stage, Cursor& cursor);
  Result<void> read_stream(std::size_t stage, std::size_t stream, Cursor& cursor);
  bool read_run(std::size_t stage, std::size_t class_index, std::span<std::int16_t> indices,
                kernels::RansReader& reader);
  bool fill_escapes(std::uint32_t largest, std::span<std::int16_t> indices);
  void write_plane(const FrameView& base, std::size_t stages, std::size_t stream, const kernels::MutableUnitView& out);

  const kernels::KernelTable* kernels_;
  std::unique_ptr<const StaticTables> tables_;
  kernels::RopeAngles angles_;
  StripScratch strip_;
  std::span<const std::uint8_t> classes_;  ///< of the base that is being read
  std::span<const std::byte> escapes_;     ///< of the current stream, not yet used
  std::vector<std::int16_t> indices_;      ///< [streams][width][coded]
  std::vector<std::uint8_t> symbols_;      ///< one run
  std::vector<std::uint8_t> contexts_;     ///< one run
  std::vector<float> columns_;
};

}  // namespace sluice::codec
