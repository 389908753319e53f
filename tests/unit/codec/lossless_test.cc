// Laws of the tables that lossless channels share: what is written is read back, whatever the counts; any bytes parse
// to a table that sums to the slots or to a typed error.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "codec/channel_groups.h"
#include "codec/top_table.h"

namespace sluice::codec {
namespace {

constexpr std::uint32_t kSeed = 20;

std::size_t sum_of(const TopTable& table) {
  return std::accumulate(table.frequencies.begin(),
                         table.frequencies.begin() + static_cast<std::ptrdiff_t>(table.count) + 1, std::size_t{0});
}

// Counts of `tops` tops, from one that occurs to all, from alike ones to a few that are all.
std::vector<std::uint32_t> random_counts(std::size_t tops, std::mt19937& random) {
  std::vector<std::uint32_t> counts(tops);
  const std::size_t used = 1 + random() % tops;
  const auto octaves = static_cast<unsigned>(random() % 20);
  for (std::size_t i = 0; i < used; ++i) {
    counts[random() % tops] += 1U + (static_cast<std::uint32_t>(random()) & ((1U << octaves) - 1U));
  }
  return counts;
}

TEST(TopTable, WhatIsWrittenIsParsed) {
  std::mt19937 random(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  for (int trial = 0; trial < 2000; ++trial) {
    const std::vector<std::uint32_t> counts = random_counts(std::size_t{1} << (5 + trial % 5), random);
    const TopTable table = fit_top_table(counts);
    ASSERT_GE(table.count, 1U);
    ASSERT_LE(table.count, kMaxTableTops);
    ASSERT_EQ(sum_of(table), kernels::kRansSlots);
    for (std::size_t i = 0; i < table.count; ++i) {
      ASSERT_GT(table.frequencies[i], 0);
      ASSERT_TRUE(i == 0 || table.tops[i - 1] < table.tops[i]);
    }
    const bool escapes = std::accumulate(table.tops.begin(), table.tops.begin() + table.count, std::uint64_t{0},
                                         [&](auto sum, auto top) { return sum + counts[top]; }) !=
                         std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    ASSERT_TRUE(!escapes || table.frequencies[table.count] > 0);
    std::vector<std::byte> bytes(kMaxTopTableSize);
    const std::size_t size = write_top_table(table, bytes);
    TopTable back;
    const Result<std::size_t> used = parse_top_table(std::span(bytes).first(size), back);
    ASSERT_TRUE(used.has_value());
    ASSERT_EQ(*used, size);
    ASSERT_EQ(back.count, table.count);
    ASSERT_TRUE(std::equal(back.tops.begin(), back.tops.begin() + back.count, table.tops.begin()));
    ASSERT_TRUE(
        std::equal(back.frequencies.begin(), back.frequencies.begin() + back.count + 1, table.frequencies.begin()));
    for (std::size_t cut = 0; cut < size; ++cut) {
      ASSERT_FALSE(parse_top_table(std::span(bytes).first(cut), back).has_value());
    }
  }
}

TEST(TopTable, AnyBytesAreATableOrATypedError) {
  std::mt19937 random(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  std::vector<std::byte> bytes(200);
  for (int trial = 0; trial < 20000; ++trial) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % (trial % 2 == 0 ? 256 : 8));
    TopTable table;
    const Result<std::size_t> used = parse_top_table(bytes, table);
    if (!used) {
      ASSERT_EQ(used.error().code, ErrorCode::kCorruptStream);
      continue;
    }
    ASSERT_LE(*used, bytes.size());
    ASSERT_LE(table.count, kMaxTableTops);
    for (std::size_t i = 0; i < table.count; ++i) ASSERT_LT(table.tops[i], kMaxTops);
  }
}

// Channels of far apart exponents must not share a table where values pay for one.
TEST(ChannelGroups, ChannelsThatDifferAreKeptApart) {
  constexpr std::size_t kTokens = 256, kChannels = 128;
  std::mt19937 random(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  std::vector<std::uint16_t> tops(kTokens * kChannels);
  for (std::size_t i = 0; i < tops.size(); ++i) {
    const std::size_t kind = i / kTokens % 4;
    tops[i] = static_cast<std::uint16_t>(60 * kind + random() % 3);
  }
  ChannelGroups groups;
  groups.start(9);
  groups.add(tops, kTokens);
  groups.fit();
  ASSERT_EQ(groups.groups().size(), kChannels);
  EXPECT_EQ(groups.tables().size(), 4U);
  for (std::size_t channel = 4; channel < kChannels; ++channel) {
    EXPECT_EQ(groups.groups()[channel], groups.groups()[channel % 4]);
  }
}

}  // namespace
}  // namespace sluice::codec
