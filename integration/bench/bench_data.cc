#include "integration/bench/bench_data.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

namespace sluice::integration::bench {
namespace {

constexpr std::uint64_t word_at(std::size_t offset) {
  std::uint64_t word = (offset / 8 + 1) * 0x9E3779B97F4A7C15U;
  word ^= word >> 29U;
  return word * 0xBF58476D1CE4E5B9U;
}

}  // namespace

std::vector<std::byte> make_pool() {
  std::vector<std::byte> pool(kPool);
  for (std::size_t offset = 0; offset < kPool; offset += 8) {
    const std::uint64_t word = word_at(offset);
    std::memcpy(pool.data() + offset, &word, 8);
  }
  return pool;
}

bool is_pool(std::span<const std::byte> bytes, std::size_t offset) {
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    const std::uint64_t word = word_at(offset + at);
    if (std::memcmp(bytes.data() + at, &word, 8) != 0) return false;
  }
  return true;
}

std::size_t window_of(std::uint64_t transfer) { return static_cast<std::size_t>(transfer * kWindow % kPool); }

std::vector<std::uint32_t> fragment_order() {
  std::vector<std::uint32_t> order(kWindow / kFragment);
  std::iota(order.begin(), order.end(), 0U);
  std::shuffle(order.begin(), order.end(), std::mt19937(20));
  return order;
}

}  // namespace sluice::integration::bench
