// Lossless rows: sign and exponent by rANS with tables of the stream, mantissa as it is. Normative: FORMAT.md
// section 4.4. Invariants: every bit pattern of every dtype comes back; a stream that would not shrink is stored raw.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

/// Most payload bytes: raw, and what says so.  Threads: pure.
std::size_t max_lossless_payload(const kernels::KvShape& shape);

/// Threads: one call at a time.
class LosslessCoder {
 public:
  explicit LosslessCoder(const kernels::KernelTable& kernels) : kernels_(&kernels) {}

  /// Returns the payload's size.  Precondition: payload.size() >= max_lossless_payload(unit.shape).
  std::size_t write(const kernels::UnitView& unit, std::span<std::byte> payload);
  /// Errors: kBadLength, kCorruptStream; `out` is then untouched.
  Result<void> read(std::span<const std::byte> payload, const kernels::MutableUnitView& out);

 private:
  /// Sections of one coded stream.
  struct CodedInput {
    std::span<const std::byte> groups;
    std::span<const std::byte> states;
    std::span<const std::byte> words;
  };

  std::size_t write_stream(const kernels::KvShape& shape, std::span<std::byte> out);
  Result<std::size_t> read_stream(const kernels::KvShape& shape, std::span<const std::byte> in,
                                  std::span<std::byte> rows);
  Result<void> read_tables(std::span<const std::byte> in, std::size_t groups, std::size_t symbols);
  Result<void> read_symbols(const kernels::KvShape& shape, const CodedInput& input);
  Result<void> read_tops(std::span<const std::byte> alphabet, std::span<const std::byte> escapes);

  const kernels::KernelTable* kernels_;
  std::vector<std::byte> rows_;        ///< write: one stream; read: all streams
  std::vector<std::uint16_t> tops_;    ///< [width][tokens]: sign and exponent
  std::vector<std::uint8_t> symbols_;  ///< [width][tokens]
  std::vector<std::uint16_t> escapes_;
  std::vector<std::byte> words_;
  std::vector<kernels::RansTable> tables_;
};

}  // namespace sluice::codec
