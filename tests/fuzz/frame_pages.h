// What the fuzz targets of frames share: pages for whatever shape a header claims, and digests put right.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "codec/byte_order.h"
#include "codec/frame.h"
#include "kernels/shape.h"
#include "kernels/table.h"

inline constexpr std::byte kPageCanary{0x5A};

/// All planes in one block each.
struct FramePages {
  explicit FramePages(const sluice::kernels::KvShape& shape) : memory(shape.raw_bytes().count(), kPageCanary) {
    const std::size_t planes = 2 * shape.layers.count();
    const auto token = static_cast<std::ptrdiff_t>(shape.row_bytes().count());
    const auto head = static_cast<std::ptrdiff_t>(shape.head_dim.count() * sluice::kernels::dtype_size(shape.dtype));
    for (std::size_t plane = 0; plane < planes; ++plane)
      blocks.push_back(memory.data() + plane * memory.size() / planes);
    for (std::size_t plane = 0; plane < planes; ++plane) {
      (plane % 2 == 0 ? k : v).push_back({{blocks.data() + plane, 1}, shape.tokens.count(), token, head});
    }
  }
  std::vector<std::byte> memory;
  std::vector<std::byte*> blocks;
  std::vector<sluice::kernels::MutablePlaneView> k, v;
};

/// Sets length and digest, and profile and parent where they are given; returns the digest.
/// Precondition: the frame is not shorter than a header.
inline std::uint64_t repair_frame(std::span<std::byte> frame, std::optional<std::uint64_t> profile,
                                  std::optional<std::uint64_t> parent) {
  constexpr std::size_t kProfileAt = 56, kParentAt = 64, kPayloadAt = 72, kDigestAt = 80;
  const sluice::kernels::KernelTable& table = sluice::kernels::ref_kernels();
  if (profile) sluice::codec::store(frame, kProfileAt, *profile);
  if (parent) sluice::codec::store(frame, kParentAt, *parent);
  sluice::codec::store(frame, kPayloadAt, std::uint64_t{frame.size() - sluice::codec::kFrameHeaderSize});
  sluice::codec::store(frame, kDigestAt, std::uint64_t{0});
  const std::uint64_t seed = table.digest(frame.first(sluice::codec::kFrameHeaderSize), 0);
  const std::uint64_t digest = table.digest(frame.subspan(sluice::codec::kFrameHeaderSize), seed);
  sluice::codec::store(frame, kDigestAt, digest);
  return digest;
}
