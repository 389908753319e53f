// The header of one frame: one part (raw, lossless, 8-bit, base or a refinement) of one unit. Normative: FORMAT.md
// section 2. Place in the flow: the encoder writes it, the decoder and `sluice codec inspect` read it.
// Invariants: nothing is believed before its bound is checked; nothing is allocated from a value of the stream; a frame
// whose digest does not match is refused before its payload is looked at.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

inline constexpr std::uint32_t kFrameMagic = 0x464B4C53;  ///< "SLKF" in little-endian bytes
inline constexpr std::uint16_t kFrameVersion = 3;
inline constexpr std::size_t kFrameHeaderSize = 96;
/// Stages of the nested bitstream, in the order in which they are decoded.
inline constexpr std::array kStageParts = {Part::kBase, Part::kRefinement1, Part::kRefinement2};
inline constexpr std::size_t kNestedStages = kStageParts.size();
/// Whether the part is one of them.  Threads: pure.
constexpr bool is_stage(Part part) { return std::ranges::find(kStageParts, part) != kStageParts.end(); }
/// Bounds of what a header may claim; far above any model, small enough that no product of them wraps 64 bits.
inline constexpr std::uint64_t kMaxLayers = 4096;
inline constexpr std::uint64_t kMaxTokens = 4096;
inline constexpr std::uint64_t kMaxHeads = 1024;
inline constexpr std::uint64_t kMaxHeadDim = 4096;
inline constexpr std::uint64_t kMaxPosition = std::uint64_t{1} << 40U;

/// What a frame says about itself.
struct FrameHeader {
  Part part = Part::kRaw;
  kernels::KvShape shape;
  kernels::RopeSpec rope;   ///< a plain_rope
  ContentHash rope_detail;  ///< rope_detail_digest of the whole rope
  /// Position of the unit's first token in the request.
  TokenIndex first_position;
  /// Leading tokens of the unit that the base carries as raw rows (the sink).
  Tokens raw_tokens;
  /// Trailing tokens of the unit that are coded at half the step (the newest of the request).
  Tokens fine_tokens;
  /// Profile that the frame was made with, its level, and the unit's first layer in it; all 0 for none.
  ContentHash profile;
  std::uint8_t level = 0;
  LayerIndex first_layer;
  /// Digest of the frame that this one refines; 0 for a part that stands alone.
  ContentHash parent;
  Bytes payload;
  /// Over the header, with this field as zero, and the payload; set by seal_frame.
  ContentHash digest;
  bool has_profile() const { return profile != ContentHash(); }
  bool operator==(const FrameHeader&) const = default;
};

/// A frame whose header and digest were checked.
/// Ownership: payload views the bytes that were parsed.
struct FrameView {
  FrameHeader header;
  std::span<const std::byte> payload;
};

/// The one spelling of a rope in headers: an unknown or absent rotation has zero dims and base.  Threads: pure.
kernels::RopeSpec canonical(const kernels::RopeSpec& rope);

/// What a header holds of a rope: no scaling, no local base.  Threads: pure.
kernels::RopeSpec plain_rope(const kernels::RopeSpec& rope);

/// Names the rest of it; 0 for none.  Threads: pure.  Source: FORMAT.md section 2.
ContentHash rope_detail_digest(const kernels::KernelTable& kernels, const kernels::RopeSpec& rope);

/// Reads and checks one frame: magic, version, every field's bounds, exact length, digest.
/// Errors: kTruncated, kBadMagic, kBadVersion, kBadField, kBadLength, kTrailingBytes, kDigestMismatch.
/// Threads: pure.  Source: FORMAT.md section 2.
Result<FrameView> parse_frame(const kernels::KernelTable& kernels, std::span<const std::byte> frame);

/// Writes the header in front of a payload that already stands at frame[kFrameHeaderSize, ...); fills in rope_detail,
/// the length, and the digest, which it returns.
/// Precondition: frame.size() is kFrameHeaderSize plus the payload.  Threads: pure.
ContentHash seal_frame(const kernels::KernelTable& kernels, const FrameHeader& header, std::span<std::byte> frame);

}  // namespace sluice::codec
