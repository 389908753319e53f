// Words of streams back to indices, by the runs of their plans. The mirror of run_encoder.h. Invariant: whatever the
// words say, no more than the plan's symbols are read and written; damage is reported, never followed.
#pragma once

#include <array>
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

/// One stream's plan, reader and indices.
struct StreamRuns {
  RunPlan plan;
  StreamReader reader;
  std::span<std::int16_t> indices;
};

/// Streams that are decoded side by side: what keeps one core busy (kernels/rans.h).
inline constexpr std::size_t kStreamsAtOnce = 8;

/// Threads: one call at a time.
class RunDecoder {
 public:
  RunDecoder(const kernels::KernelTable& kernels, const StaticTables& tables) : kernels_(&kernels), tables_(&tables) {}

  /// Fills the pieces of base plans; false when escapes of a stream ran out.
  /// Precondition: at most kStreamsAtOnce streams, here and below.
  bool read_base(std::span<StreamRuns> streams);
  /// Replaces coarse indices by fine ones; silent ones by three times themselves.
  void read_refinement(std::size_t stage, std::span<StreamRuns> streams);

 private:
  /// Of one stream while it is read.
  struct Scratch {
    std::vector<std::uint8_t> symbols;
    std::vector<std::uint8_t> contexts;
    std::vector<std::int16_t> run;
    std::vector<kernels::RansDecodeRun> runs;
  };

  void decode(std::span<StreamRuns> streams) const;
  void plan_base(const RunPlan& plan, Scratch& scratch) const;
  void plan_refinement(std::size_t stage, StreamRuns& stream, Scratch& scratch) const;
  bool unfold_base(StreamRuns& stream, Scratch& scratch) const;
  void refine(StreamRuns& stream, Scratch& scratch) const;
  bool fill_escapes(std::uint32_t largest, std::span<const std::uint8_t> symbols, StreamReader& reader,
                    std::span<std::int16_t> indices) const;

  const kernels::KernelTable* kernels_;
  const StaticTables* tables_;
  std::array<Scratch, kStreamsAtOnce> scratch_;
};

}  // namespace sluice::codec
