// The two checks of the wire: CRC32C (Castagnoli) of frame headers, XXH3-64 of payloads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::transport {

/// Source: RFC 3720 appendix B.4 (polynomial 0x1EDC6F41, reflected).  Threads: pure.
std::uint32_t crc32c(std::span<const std::byte> bytes);

/// Seeded XXH3-64.  Threads: pure.
std::uint64_t xxh3(std::span<const std::byte> bytes, std::uint64_t seed);

}  // namespace sluice::transport
