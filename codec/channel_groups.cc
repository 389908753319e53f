#include "codec/channel_groups.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/assert.h"

namespace sluice::codec {
namespace {

/// A group's table takes some 25 bytes: fewer values cannot pay for one.
constexpr std::size_t kValuesPerGroup = 8192;
/// Groups per part by sign, and most such parts, in the first grouping: exponents come first.
constexpr std::size_t kGroupsPerSignPart = 8;
constexpr std::size_t kSignParts = 4;
constexpr int kRounds = 4;
/// What a top costs that the group has not had yet, as if it had occurred that often.
constexpr double kUnseen = 0.05;

}  // namespace

void ChannelGroups::start(unsigned top_bits) {
  top_bits_ = top_bits;
  values_ = 0;
  counts_.clear();
  first_.assign(1, 0);
  exponents_.clear();
  negatives_.clear();
}

std::span<const ChannelGroups::Count> ChannelGroups::counts_of(std::size_t channel) const {
  return std::span(counts_).subspan(first_[channel], first_[channel + 1] - first_[channel]);
}

void ChannelGroups::add(std::span<const std::uint16_t> tops, std::size_t tokens) {
  std::array<std::uint16_t, kMaxTops> histogram{};
  const std::size_t sign = std::size_t{1} << (top_bits_ - 1);
  values_ += tops.size();
  for (; !tops.empty(); tops = tops.subspan(tokens)) {
    for (const std::uint16_t top : tops.first(tokens)) ++histogram[top];
    std::size_t exponents = 0;
    std::size_t negatives = 0;
    for (std::size_t top = 0; top < 2 * sign; ++top) {
      const std::uint16_t times = std::exchange(histogram[top], 0);
      if (times == 0) continue;
      counts_.push_back({static_cast<std::uint16_t>(top), times});
      exponents += times * (top % sign);
      negatives += times * (top / sign);
    }
    first_.push_back(counts_.size());
    exponents_.push_back(static_cast<float>(exponents) / static_cast<float>(tokens));
    negatives_.push_back(static_cast<float>(negatives) / static_cast<float>(tokens));
  }
}

void ChannelGroups::fit() {
  SLUICE_ASSERT(values_ != 0);
  std::size_t groups = std::clamp<std::size_t>(values_ / kValuesPerGroup, 1, kMaxGroups);
  first_grouping(groups);
  for (int round = 0; groups > 1 && round < kRounds; ++round) {
    sum_groups(groups);
    reassign(groups);
  }
  groups = drop_empty_groups(groups);
  sum_groups(groups);
  fit_tables(groups);
}

// Equal parts by mean exponent, and each in equal parts by sign.
void ChannelGroups::first_grouping(std::size_t groups) {
  const std::size_t channels = first_.size() - 1;
  const std::size_t parts = std::clamp<std::size_t>(groups / kGroupsPerSignPart, 1, kSignParts);
  const std::size_t strips = groups / parts;
  group_of_.resize(channels);
  order_.resize(channels);
  std::iota(order_.begin(), order_.end(), 0U);
  const auto order_by = [](const std::vector<float>& key) {
    return [&key](auto left, auto right) { return key[left] != key[right] ? key[left] < key[right] : left < right; };
  };
  std::sort(order_.begin(), order_.end(), order_by(exponents_));
  for (std::size_t strip = 0; strip < strips; ++strip) {
    const std::size_t first = strip * channels / strips;
    const std::span<std::uint32_t> inside = std::span(order_).subspan(first, (strip + 1) * channels / strips - first);
    std::sort(inside.begin(), inside.end(), order_by(negatives_));
    for (std::size_t rank = 0; rank < inside.size(); ++rank) {
      group_of_[inside[rank]] = static_cast<std::uint8_t>(strip * parts + rank * parts / inside.size());
    }
  }
}

void ChannelGroups::sum_groups(std::size_t groups) {
  sums_.assign(groups << top_bits_, 0);
  for (std::size_t channel = 0; channel < group_of_.size(); ++channel) {
    std::uint32_t* const sum = sums_.data() + (std::size_t{group_of_[channel]} << top_bits_);
    for (const Count& count : counts_of(channel)) sum[count.top] += count.times;
  }
}

// Moves every channel to the group whose distribution codes it cheapest.
void ChannelGroups::reassign(std::size_t groups) {
  const std::size_t tops = std::size_t{1} << top_bits_;
  bits_.resize(tops * groups);
  for (std::size_t group = 0; group < groups; ++group) {
    const std::span<const std::uint32_t> sum = std::span(sums_).subspan(group * tops, tops);
    const double total = std::accumulate(sum.begin(), sum.end(), kUnseen * static_cast<double>(tops));
    for (std::size_t top = 0; top < tops; ++top) {
      bits_[top * groups + group] = static_cast<float>(std::log2(total / (sum[top] + kUnseen)));
    }
  }
  std::array<float, kMaxGroups> cost;
  for (std::size_t channel = 0; channel < group_of_.size(); ++channel) {
    std::fill_n(cost.begin(), groups, 0.0F);
    for (const Count& count : counts_of(channel)) {
      const float* const bits = bits_.data() + count.top * groups;
      const float times = count.times;
      for (std::size_t group = 0; group < groups; ++group) cost[group] += times * bits[group];
    }
    const auto best = std::min_element(cost.begin(), cost.begin() + static_cast<std::ptrdiff_t>(groups));
    group_of_[channel] = static_cast<std::uint8_t>(best - cost.begin());
  }
}

std::size_t ChannelGroups::drop_empty_groups(std::size_t groups) {
  std::array<bool, kMaxGroups> has_channels{};
  for (const std::uint8_t group : group_of_) has_channels[group] = true;
  std::array<std::uint8_t, kMaxGroups> renamed{};
  std::size_t left = 0;
  for (std::size_t group = 0; group < groups; ++group) {
    if (has_channels[group]) renamed[group] = static_cast<std::uint8_t>(left++);
  }
  for (std::uint8_t& group : group_of_) group = renamed[group];
  return left;
}

void ChannelGroups::fit_tables(std::size_t groups) {
  const std::size_t tops = std::size_t{1} << top_bits_;
  tables_.resize(groups);
  for (std::size_t group = 0; group < groups; ++group) {
    tables_[group] = fit_top_table(std::span(sums_).subspan(group * tops, tops));
  }
}

}  // namespace sluice::codec
