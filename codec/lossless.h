// Lossless rows: sign and exponent by rANS with tables of the unit, mantissa as it is. Normative: FORMAT.md section
// 4.4. Invariants: every bit pattern of every dtype comes back; a unit that would not shrink is stored raw.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "codec/channel_groups.h"
#include "codec/top_table.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

/// Most payload bytes: raw, and what says so.  Threads: pure.
std::size_t max_lossless_payload(const kernels::KvShape& shape);

/// Holds scratch memory that grows to the largest unit seen, then stays.
/// Threads: one call at a time.
class LosslessCoder {
 public:
  explicit LosslessCoder(const kernels::KernelTable& kernels) : kernels_(&kernels) {}

  /// Returns the payload's size.  Precondition: payload.size() >= max_lossless_payload(unit.shape).
  std::size_t write(const kernels::UnitView& unit, std::span<std::byte> payload);
  /// Errors: kBadLength, kCorruptStream; `out` is then untouched.
  Result<void> read(std::span<const std::byte> payload, const kernels::MutableUnitView& out);

 private:
  /// One stream's share of the payload.
  struct StreamSize {
    std::size_t words = 0;
    std::size_t escapes = 0;
  };
  /// What is read of one stream.
  struct CodedStream {
    std::size_t number = 0;
    std::span<const std::byte> states, words, escapes, mantissas;
  };
  /// A group's table in both directions.
  struct GroupCode {
    TopTable tops;
    kernels::RansTable rans;
  };

  void load_rows(const kernels::UnitView& unit);
  void make_tables(kernels::DType dtype);
  void code_stream(const kernels::KvShape& shape, std::size_t stream);
  std::size_t write_coded(const kernels::KvShape& shape, std::span<std::byte> payload) const;
  Result<void> read_coded(const kernels::KvShape& shape, std::span<const std::byte> payload);
  Result<void> read_tables(std::span<const std::byte> in, std::size_t groups);
  Result<void> read_groups(std::span<const std::byte> in, std::size_t channels);
  Result<void> read_stream(const kernels::KvShape& shape, const CodedStream& in);
  Result<void> read_tops(const CodedStream& in, std::size_t tokens);

  const kernels::KernelTable* kernels_;
  ChannelGroups grouping_;
  std::vector<std::byte> rows_;            ///< [streams] rows
  std::vector<std::uint16_t> tops_;        ///< write: [streams][width][tokens]; read: one stream
  std::vector<std::uint8_t> symbols_;      ///< [width][tokens]
  std::vector<std::uint8_t> symbol_of_;    ///< write: [groups][kMaxTops]
  std::vector<std::uint8_t> group_of_;     ///< read: [streams][width]
  std::vector<GroupCode> codes_;           ///< [groups]
  std::vector<StreamSize> sizes_;          ///< [streams]
  std::vector<kernels::RansWriter> ends_;  ///< write: [streams] states and words
  std::vector<std::uint16_t> escapes_;     ///< write: of all streams
  std::vector<std::byte> words_;           ///< write: [streams] room for one word a value
};

}  // namespace sluice::codec
