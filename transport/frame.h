// The fixed header in front of every payload: 64 bytes, little endian, guarded by its own CRC32C, so that no length is
// believed before the header is known to be whole. The payload's digest is seeded with where the payload belongs: valid
// bytes in the wrong place fail. Layout: PROTOCOL.md section 2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "transport/message.h"

namespace sluice::transport {

inline constexpr std::size_t kFrameHeaderSize = 64;
using FrameBytes = std::array<std::byte, kFrameHeaderSize>;

/// DATA was queued behind another DATA frame: the time between the ends of both is the link's, not the sender's.
inline constexpr std::uint8_t kFlagBackToBack = 1U;

/// What the 64 bytes say. Fields that a type does not use are zero.
struct FrameHeader {
  /// May hold a number that MessageType does not name: such frames are skipped by their length.
  MessageType type = MessageType::kPing;
  std::uint8_t flags = 0;
  Part part = Part::kBase;
  Epoch epoch;  ///< of the side that sent the frame
  UnitKey unit;
  SlotIndex slot;
  Bytes length;  ///< of the payload, < 4 GiB
  Generation generation;
  ContentHash digest;
  bool operator==(const FrameHeader&) const = default;
};

/// Threads: pure.
FrameBytes encode(const FrameHeader& header);

/// Errors: kBadMagic, kBadVersion, kDigestMismatch (CRC), kBadField (unknown part).
/// Threads: pure.
Result<FrameHeader> decode_frame(std::span<const std::byte, kFrameHeaderSize> bytes);

/// Largest payload that a frame of this type may carry; control and unknown types share one limit.
/// Threads: pure.
Bytes max_payload(MessageType type);

/// Digest of `payload` in the place that `header` names (epoch, unit, part, slot, generation, type).
/// Threads: pure.
ContentHash payload_digest(const FrameHeader& header, std::span<const std::byte> payload);

}  // namespace sluice::transport
