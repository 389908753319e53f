#include "codec/top_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.h"

namespace sluice::codec {
namespace {

constexpr std::size_t kMaxByte = 255;

// Bits that an escape costs beyond its slot, that a slot costs everybody else per value, and that a table entry takes.
constexpr double kEscapeBits = 16;
constexpr double kSlotBits = 0.00565;  // log2(256 / 255)
constexpr double kEntryBits = 8;

// Gives or takes single slots where it costs least, until the frequencies sum to the slots.
void balance(std::span<const std::uint32_t> weights, std::span<std::uint16_t> frequencies) {
  std::uint32_t sum = std::accumulate(frequencies.begin(), frequencies.end(), 0U);
  while (sum != kernels::kRansSlots) {
    const bool gives = sum < kernels::kRansSlots;
    std::size_t best = frequencies.size();
    double best_gain = -INFINITY;
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      if (frequencies[i] == 0 || (gives ? frequencies[i] == kMaxByte : frequencies[i] == 1)) continue;
      const double from = frequencies[i];
      const double gain = weights[i] * std::log2((gives ? from + 1 : from - 1) / from);
      if (gain <= best_gain) continue;
      best_gain = gain;
      best = i;
    }
    if (best == frequencies.size()) best = frequencies.size() - 1;  // all are full: the escape takes the rest
    frequencies[best] = static_cast<std::uint16_t>(frequencies[best] + (gives ? 1 : -1));
    sum += gives ? 1U : ~0U;
  }
}

}  // namespace

TopTable fit_top_table(std::span<const std::uint32_t> counts) {
  SLUICE_ASSERT(counts.size() <= kMaxTops);
  const std::uint64_t total = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  SLUICE_ASSERT(total != 0);
  const double least = (kSlotBits * static_cast<double>(total) + kEntryBits) / kEscapeBits;
  std::array<std::uint16_t, kMaxTops> order;  // tops, the most frequent first
  std::iota(order.begin(), order.end(), std::uint16_t{0});
  const auto kept_end = order.begin() + static_cast<std::ptrdiff_t>(std::min(counts.size(), kMaxTableTops));
  std::partial_sort(order.begin(), kept_end, order.begin() + static_cast<std::ptrdiff_t>(counts.size()),
                    [&](auto left, auto right) {
                      return counts[left] != counts[right] ? counts[left] > counts[right] : left < right;
                    });
  const auto last = std::find_if(order.begin(), kept_end, [&](auto top) { return counts[top] < least; });
  std::sort(order.begin(), last);
  TopTable table;
  std::array<std::uint32_t, kernels::kRansMaxSymbols> weights{};
  std::uint64_t escaped = total;
  for (auto top = order.begin(); top != last; ++top) {
    escaped -= weights[table.count] = counts[*top];
    table.tops[table.count++] = *top;
  }
  weights[table.count] = static_cast<std::uint32_t>(escaped);
  for (std::size_t i = 0; i <= table.count; ++i) {
    if (weights[i] == 0) continue;
    const std::uint64_t share = (weights[i] * std::uint64_t{kernels::kRansSlots} + total / 2) / total;
    table.frequencies[i] = static_cast<std::uint16_t>(std::clamp<std::uint64_t>(share, 1, kMaxByte));
  }
  balance(std::span(weights).first(table.count + 1), std::span(table.frequencies).first(table.count + 1));
  return table;
}

std::size_t write_top_table(const TopTable& table, std::span<std::byte> out) {
  SLUICE_ASSERT(out.size() >= kMaxTopTableSize);
  std::size_t at = 0;
  const auto put = [&](std::size_t value) { out[at++] = static_cast<std::byte>(value); };
  put(table.frequencies[table.count]);
  std::size_t next_top = 0;
  for (std::size_t i = 0; i < table.count;) {
    std::size_t skipped = table.tops[i] - next_top;
    while (skipped > kMaxByte) {
      put(kMaxByte);
      put(0);
      skipped -= kMaxByte;
    }
    std::size_t run = 1;
    while (i + run < table.count && table.tops[i + run] == table.tops[i] + run) ++run;
    put(skipped);
    put(run);
    next_top = table.tops[i] + run;
    for (const std::size_t end = i + run; i < end; ++i) put(table.frequencies[i]);
  }
  return at;
}

Result<std::size_t> parse_top_table(std::span<const std::byte> in, TopTable& table) {
  const Error damage{ErrorCode::kCorruptStream, 0, "lossless table"};
  std::size_t at = 0;
  const auto byte = [&] { return std::to_integer<std::size_t>(in[at++]); };
  if (in.empty()) return damage;
  const std::size_t escape = byte();
  table.count = 0;
  std::size_t sum = escape;
  std::size_t next_top = 0;
  while (sum < kernels::kRansSlots) {
    if (in.size() - at < 2) return damage;
    next_top += byte();
    std::size_t run = byte();
    if (run > kMaxTableTops - table.count || run > in.size() - at || next_top + run > kMaxTops) return damage;
    for (; run != 0; --run) {
      table.tops[table.count] = static_cast<std::uint16_t>(next_top++);
      sum += table.frequencies[table.count++] = static_cast<std::uint16_t>(byte());
    }
  }
  table.frequencies[table.count] = static_cast<std::uint16_t>(escape);
  return at;
}

}  // namespace sluice::codec
