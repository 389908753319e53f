#include "transport/checksum.h"

#include <array>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#define XXH_INLINE_ALL
#include <xxhash.h>
#pragma GCC diagnostic pop

namespace sluice::transport {
namespace {

constexpr std::uint32_t kReflectedPolynomial = 0x82F63B78U;

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

// tables[n][byte]: what `byte`, with n bytes after it, adds to the sum.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1U) ^ ((value & 1U) != 0 ? kReflectedPolynomial : 0U);
    tables[0][byte] = value;
  }
  for (std::size_t after = 1; after < tables.size(); ++after) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[after - 1][byte];
      tables[after][byte] = tables[0][before & 0xFFU] ^ (before >> 8U);
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t byte_at(std::span<const std::byte> bytes, std::size_t at) {
  return std::to_integer<std::uint8_t>(bytes[at]);
}

}  // namespace

// Eight bytes a turn, each through a table of its own: frame headers are summed at every send and every arrival.
std::uint32_t crc32c(std::span<const std::byte> bytes) {
  std::uint32_t value = 0xFFFFFFFFU;
  while (bytes.size() >= 8) {
    std::uint32_t next = 0;
    for (std::size_t at = 0; at < 4; ++at) {
      next ^= kTables[7 - at][((value >> (8U * at)) & 0xFFU) ^ byte_at(bytes, at)];
      next ^= kTables[3 - at][byte_at(bytes, 4 + at)];
    }
    value = next;
    bytes = bytes.subspan(8);
  }
  for (const std::byte byte : bytes) {
    value = kTables[0][(value ^ std::to_integer<std::uint32_t>(byte)) & 0xFFU] ^ (value >> 8U);
  }
  return value ^ 0xFFFFFFFFU;
}

std::uint64_t xxh3(std::span<const std::byte> bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace sluice::transport
