// What transports are measured with: a pool larger than any cache whose every word says where it belongs, so that each
// transfer takes cold bytes and each byte that came can be judged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice::integration::bench {

/// What is moved. Pinned: the number goes to the other process.
enum class Shape : std::uint8_t { kFragments = 0, kChunks = 1, kRoundTrip = 2 };

inline constexpr std::size_t kFragment = 4U << 10U;
inline constexpr std::size_t kChunk = 1U << 20U;
inline constexpr std::size_t kFragmentsPerChunk = kChunk / kFragment;
inline constexpr std::size_t kChunksPerWindow = 16;
/// One transfer of fragments or chunks.
inline constexpr std::size_t kWindow = kChunksPerWindow * kChunk;
inline constexpr std::size_t kMessage = 64U << 10U;
/// Round trips of one measurement.
inline constexpr std::size_t kTrips = 64;
inline constexpr std::size_t kPool = 8 * kWindow;

/// A pool of kPool bytes, written.
std::vector<std::byte> make_pool();
/// Whether `bytes` are those of the pool from `offset`; both multiples of 8.  Threads: pure.
bool is_pool(std::span<const std::byte> bytes, std::size_t offset);
/// Where in the pool transfer number `transfer` begins.  Threads: pure.
std::size_t window_of(std::uint64_t transfer);
/// A random order of the fragments of a window, the same everywhere.
std::vector<std::uint32_t> fragment_order();

}  // namespace sluice::integration::bench
