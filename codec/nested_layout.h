// Where things lie in the payload of a base or refinement frame. Normative: FORMAT.md section 5. All offsets follow
// from the header alone, except the ends of the words and escapes, which follow from the stream directory. A stream is
// one (layer, K or V): number 2 * layer + (0 for K, 1 for V).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/identity.h"
#include "base/result.h"
#include "codec/frame.h"

namespace sluice::codec {

/// Coded tokens fall into two runs with their own step: ordinary ones, then the newest.
struct TokenRuns {
  std::size_t ordinary = 0;
  std::size_t fine = 0;
  std::size_t coded() const { return ordinary + fine; }
};

/// Offsets into a payload, in bytes.
struct NestedLayout {
  std::size_t streams = 0;
  std::size_t width = 0;  ///< channels of a stream
  std::size_t heads = 0;
  TokenRuns runs;
  bool is_base = true;
  bool has_profile = false;
  std::size_t lanes = 0;  ///< that ever take part

  std::size_t raw_row_size = 0;  ///< raw rows of one stream
  std::size_t steps_at = 0;      ///< [streams][heads] bf16; this and the next two not with a profile
  std::size_t means_at = 0;      ///< [streams][width] bf16
  std::size_t classes_at = 0;    ///< [streams][width] u8
  std::size_t directory_at = 0;  ///< [streams] of words u32 and, in a base, escapes u32
  std::size_t states_at = 0;     ///< [streams][lanes] u32
  std::size_t words_at = 0;      ///< u16, all streams one after the other
  std::size_t entry_size = 0;    ///< of the directory

  /// Indices of a stream.
  std::size_t indices() const { return width * runs.coded(); }
  /// Most symbols of a stream: with a profile high and low parts, and token classes.
  std::size_t max_symbols() const { return has_profile ? 2 * indices() + runs.coded() : indices(); }
  /// Bytes that the directory counts escapes in, and the most bytes that one index can need.
  std::size_t escape_unit() const { return has_profile ? 1 : 2; }
  std::size_t max_escape() const { return has_profile ? 3 : 2; }
};

/// Layout of the frame that `header` describes.  Threads: pure.
NestedLayout nested_layout(const FrameHeader& header);

/// Most words that `symbols` can take in `lanes` lanes: 8 bits a symbol, rounding, and what the states hold.
std::size_t max_words(std::size_t symbols);

/// Most payload bytes of any frame with this layout.
std::size_t max_payload(const NestedLayout& layout);

/// Sums of a checked directory.
struct DirectoryTotals {
  std::size_t words = 0;
  std::size_t escapes = 0;  ///< bytes
};

/// Checks the directory against the payload: every count within its bound, the sum exactly the payload's length.
/// Errors: kBadLength.  Threads: pure.
Result<DirectoryTotals> check_directory(const NestedLayout& layout, std::span<const std::byte> payload);

}  // namespace sluice::codec
