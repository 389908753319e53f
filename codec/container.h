// The .slk file: a header, a directory of frames, and the frames. Place in the flow: the store keeps encoded prompts in
// it, `sluice codec` writes and reads it. Normative: FORMAT.md section 7. Invariants: a view is checked as a whole when
// it is opened (directory digest, ranges inside the file, keys rising), frames themselves when they are decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

inline constexpr std::uint32_t kContainerMagic = 0x434B4C53;  ///< "SLKC" in little-endian bytes
inline constexpr std::uint16_t kContainerVersion = 1;
inline constexpr std::size_t kContainerHeaderSize = 128;
inline constexpr std::size_t kContainerEntrySize = 32;
inline constexpr std::uint64_t kMaxContainerFrames = 1U << 20U;

/// What the file holds: the cache of one prompt.
struct ContainerHeader {
  /// The whole prompt: shape.tokens tokens, shape.layers layers.
  kernels::KvShape shape;
  kernels::RopeSpec rope;
  Tokens chunk_tokens;
  Layers group_layers;
  ContentHash model;
  PrefixKey prefix{};
  bool operator==(const ContainerHeader&) const = default;
};

/// Names one frame of a file.
struct FrameKey {
  ChunkIndex chunk;
  LayerGroupIndex group;
  Part part = Part::kRaw;
  constexpr auto operator<=>(const FrameKey&) const = default;
};

/// Shape of one unit of such a prompt (the last chunk and the last group may be short).
/// Errors: kInvalidArgument when chunk or group are outside.  Threads: pure.
Result<kernels::KvShape> unit_shape(const ContainerHeader& header, ChunkIndex chunk, LayerGroupIndex group);

/// Collects frames and writes the file.
/// Threads: one call at a time.  Ownership: copies what it is given.
class ContainerWriter {
 public:
  explicit ContainerWriter(const ContainerHeader& header) : header_(header) {}

  /// Errors: kAlreadyExists for a key that was added before; kInvalidArgument beyond kMaxContainerFrames.
  Result<void> add(const FrameKey& key, std::span<const std::byte> frame);
  /// The whole file. Frames are ordered by key and start at multiples of 64.
  std::vector<std::byte> finish(const kernels::KernelTable& kernels) const;

 private:
  struct Pending {
    FrameKey key;
    std::vector<std::byte> frame;
  };
  ContainerHeader header_;
  std::vector<Pending> pending_;
};

/// A checked view of a file in memory.
/// Ownership: views the bytes it was opened on.  Threads: any number of readers.
class ContainerView {
 public:
  /// Errors: kTruncated, kBadMagic, kBadVersion, kBadField, kBadLength, kTrailingBytes, kDigestMismatch.
  static Result<ContainerView> open(const kernels::KernelTable& kernels, std::span<const std::byte> file);

  const ContainerHeader& header() const { return header_; }
  std::uint64_t frames() const { return frames_; }
  /// Key and bytes of frame number `index` < frames().
  FrameKey key_at(std::uint64_t index) const;
  std::span<const std::byte> frame_at(std::uint64_t index) const;
  /// Binary search; nothing when the file has no such frame.
  std::optional<std::span<const std::byte>> find(const FrameKey& key) const;

 private:
  ContainerView() = default;
  std::span<const std::byte> file_;
  ContainerHeader header_;
  std::uint64_t frames_ = 0;
};

}  // namespace sluice::codec
