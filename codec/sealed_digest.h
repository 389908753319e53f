// The digest of a file that holds its own digest in its header: that field counts as zero (FORMAT.md sections 4 and 8).
// Place in the flow: container and profile write it last and check it before they believe anything else.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/byte_order.h"
#include "kernels/table.h"

namespace sluice::codec {

/// Digest of the first `covered` bytes of `file`, of which the first `kHeaderSize` are the header with the digest at
/// `digest_at`.  Precondition: kHeaderSize <= covered <= file.size().  Threads: pure.
template <std::size_t kHeaderSize>
std::uint64_t sealed_digest(const kernels::KernelTable& kernels, std::span<const std::byte> file, std::size_t covered,
                            std::size_t digest_at) {
  std::array<std::byte, kHeaderSize> header;
  std::copy_n(file.begin(), kHeaderSize, header.begin());
  store(std::span<std::byte>(header), digest_at, std::uint64_t{0});
  return kernels.digest(file.subspan(kHeaderSize, covered - kHeaderSize), kernels.digest(header, 0));
}

}  // namespace sluice::codec
