#include "codec/channel_groups.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice::codec {
namespace {

using Counts = std::array<std::uint32_t, kernels::kRansMaxSymbols>;

// Frequencies that sum to the slots; every symbol that occurs has at least one.
Frequencies normalised(const Counts& counts, std::size_t symbols) {
  Frequencies result{};
  const std::uint64_t total = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  if (total == 0) {
    result[0] = kernels::kRansSlots;
    return result;
  }
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < symbols; ++i) {
    if (counts[i] == 0) continue;
    const std::uint64_t share = (counts[i] * std::uint64_t{kernels::kRansSlots} + total / 2) / total;
    result[i] = static_cast<std::uint16_t>(std::max<std::uint64_t>(share, 1));
    sum += result[i];
  }
  // Gives or takes single slots where it costs least.
  while (sum != kernels::kRansSlots) {
    std::size_t best = symbols;
    double best_gain = -1e300;
    for (std::size_t i = 0; i < symbols; ++i) {
      if (counts[i] == 0 || (sum > kernels::kRansSlots && result[i] == 1)) continue;
      const double from = result[i];
      const double to = sum < kernels::kRansSlots ? from + 1 : from - 1;
      const double gain = counts[i] * std::log2(to / from);
      if (gain > best_gain) {
        best_gain = gain;
        best = i;
      }
    }
    if (sum < kernels::kRansSlots) {
      ++result[best];
      ++sum;
    } else {
      --result[best];
      --sum;
    }
  }
  return result;
}

std::size_t group_count(const SymbolExtent& extent) {
  // A table and a group number must pay for themselves: one group per 4096 values.
  return std::clamp<std::size_t>(extent.width * extent.tokens / 4096, 1, std::min(kMaxGroups, extent.width));
}

std::vector<Counts> count_groups(const std::vector<Counts>& channels, const std::vector<std::uint8_t>& group_of,
                                 std::size_t groups) {
  std::vector<Counts> sums(groups, Counts{});
  for (std::size_t channel = 0; channel < channels.size(); ++channel) {
    Counts& sum = sums[group_of[channel]];
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += channels[channel][i];
  }
  return sums;
}

// Start: channels ordered by their entropy-like spread, cut into equal parts.
std::vector<std::uint8_t> first_grouping(const std::vector<Counts>& channels, std::size_t groups) {
  std::vector<double> key(channels.size());
  for (std::size_t channel = 0; channel < channels.size(); ++channel) {
    double sum = 0;
    for (std::size_t i = 0; i < channels[channel].size(); ++i) sum += static_cast<double>(i * channels[channel][i]);
    key[channel] = sum;
  }
  std::vector<std::size_t> order(channels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto left, auto right) { return key[left] < key[right]; });
  std::vector<std::uint8_t> group_of(channels.size());
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    group_of[order[rank]] = static_cast<std::uint8_t>(rank * groups / order.size());
  }
  return group_of;
}

// Moves every channel to the group that codes it cheapest.
void reassign(const std::vector<Counts>& channels, const std::vector<Counts>& sums, std::size_t symbols,
              std::vector<std::uint8_t>& group_of) {
  std::vector<std::array<float, kernels::kRansMaxSymbols>> cost(sums.size());
  for (std::size_t group = 0; group < sums.size(); ++group) {
    const double total =
        std::accumulate(sums[group].begin(), sums[group].end(), 0.0) + 0.05 * static_cast<double>(symbols);
    for (std::size_t i = 0; i < symbols; ++i) {
      cost[group][i] = static_cast<float>(-std::log2((sums[group][i] + 0.05) / total));
    }
  }
  for (std::size_t channel = 0; channel < channels.size(); ++channel) {
    float best = INFINITY;
    for (std::size_t group = 0; group < sums.size(); ++group) {
      float bits = 0;
      for (std::size_t i = 0; i < symbols; ++i) bits += static_cast<float>(channels[channel][i]) * cost[group][i];
      if (bits >= best) continue;
      best = bits;
      group_of[channel] = static_cast<std::uint8_t>(group);
    }
  }
}

}  // namespace

ChannelGroups group_channels(std::span<const std::uint8_t> symbols, const SymbolExtent& extent) {
  constexpr int kRounds = 4;
  std::vector<Counts> channels(extent.width, Counts{});
  for (std::size_t channel = 0; channel < extent.width; ++channel) {
    for (const std::uint8_t symbol : symbols.subspan(channel * extent.tokens, extent.tokens))
      ++channels[channel][symbol];
  }
  const std::size_t groups = group_count(extent);
  ChannelGroups result;
  result.group_of = first_grouping(channels, groups);
  std::vector<Counts> sums = count_groups(channels, result.group_of, groups);
  for (int round = 0; groups > 1 && round < kRounds; ++round) {
    reassign(channels, sums, extent.symbols, result.group_of);
    sums = count_groups(channels, result.group_of, groups);
  }
  for (const Counts& sum : sums) result.frequencies.push_back(normalised(sum, extent.symbols));
  return result;
}

}  // namespace sluice::codec
