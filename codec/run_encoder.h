// Indices of one stream to symbols, by the runs of a plan: forwards, since escapes stand in that order. rANS then takes
// the runs backwards. The mirror of run_decoder.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/run_plan.h"
#include "codec/static_tables.h"
#include "kernels/table.h"

namespace sluice::codec {

/// How an index that its table does not hold is sent. Streams without a profile: i16. With one: a byte, its low seven
/// bits the magnitude less the first one that escapes, its high bit the sign; low bits 127: an i16 follows.
enum class EscapeForm : std::uint8_t { kWords, kBytes };

/// First place at or after `from` where `symbol` stands; symbols.size() for none.  Threads: pure.
std::size_t find_symbol(std::span<const std::uint8_t> symbols, std::uint8_t symbol, std::size_t from);

/// Bytes that are appended to and then filled: memory is kept from use to use and never cleared.
class GrowingBytes {
 public:
  void clear() { used_ = 0; }
  /// Views are valid until the next one.
  std::span<std::uint8_t> append(std::size_t count);
  std::span<const std::uint8_t> all() const { return std::span(bytes_).first(used_); }

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t used_ = 0;
};

/// Holds the symbols of one stream of one stage.
/// Threads: one call at a time.
class RunEncoder {
 public:
  RunEncoder(const kernels::KernelTable& kernels, const StaticTables& tables) : kernels_(&kernels), tables_(&tables) {}

  void clear();
  /// A run of symbols of a table of its own; the table must live until encode().
  void add(const kernels::RansTable& table, std::span<const std::uint8_t> symbols);
  /// All runs of a base plan. indices = the plan's plane.
  void add_base(const RunPlan& plan, std::span<const std::int16_t> indices, EscapeForm form);
  /// All runs of a refinement: fine = 3 * coarse + difference.
  void add_refinement(std::size_t stage, const RunPlan& plan, std::span<const std::int16_t> coarse,
                      std::span<const std::int16_t> fine);

  /// What was added, in the order of decoding.  Ownership: a view, valid until the next change.
  std::span<const kernels::RansEncodeRun> runs();
  std::size_t symbols() const { return symbols_.all().size(); }
  std::span<const std::byte> escapes() const { return escapes_; }

 private:
  std::span<std::uint8_t> append(const kernels::RansEncodeRun& run, std::size_t count);
  std::span<const std::int16_t> gather(const RunPlan& plan, const Run& run, std::span<const std::int16_t> indices,
                                       std::vector<std::int16_t>& into) const;
  void append_escapes(std::uint32_t largest, std::span<const std::uint8_t> symbols,
                      std::span<const std::int16_t> indices, EscapeForm form);

  const kernels::KernelTable* kernels_;
  const StaticTables* tables_;
  std::vector<kernels::RansEncodeRun> runs_;  ///< their memory is found out in runs()
  std::vector<std::size_t> counts_;           ///< symbols of each run
  GrowingBytes symbols_;
  GrowingBytes contexts_;
  std::vector<std::byte> escapes_;
  std::vector<std::int16_t> gathered_, gathered_fine_;  // scratch, one run
};

}  // namespace sluice::codec
