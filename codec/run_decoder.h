// Words of one stream back to indices, by the runs of a plan. The mirror of run_encoder.h. Invariant: whatever the
// words say, no more than the plan's symbols are read and written; damage is reported, never followed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/run_encoder.h"
#include "codec/run_plan.h"
#include "codec/static_tables.h"
#include "kernels/table.h"

namespace sluice::codec {

/// A stream that is being read.
struct StreamReader {
  kernels::RansReader words;
  std::span<const std::byte> escapes;  ///< not used yet
  EscapeForm form = EscapeForm::kWords;
};

/// Threads: one call at a time.
class RunDecoder {
 public:
  RunDecoder(const kernels::KernelTable& kernels, const StaticTables& tables) : kernels_(&kernels), tables_(&tables) {}

  /// Fills the pieces of a base plan; false when escapes ran out.
  bool read_base(const RunPlan& plan, StreamReader& reader, std::span<std::int16_t> indices);
  /// Replaces coarse indices by fine ones; silent ones by three times themselves.
  void read_refinement(std::size_t stage, const RunPlan& plan, StreamReader& reader, std::span<std::int16_t> indices);

 private:
  bool read_run(const Run& run, StreamReader& reader, std::span<std::int16_t> indices);
  bool fill_escapes(std::uint32_t largest, StreamReader& reader, std::span<std::int16_t> indices) const;

  const kernels::KernelTable* kernels_;
  const StaticTables* tables_;
  std::vector<std::uint8_t> symbols_;
  std::vector<std::uint8_t> contexts_;
  std::vector<std::int16_t> run_;
};

}  // namespace sluice::codec
