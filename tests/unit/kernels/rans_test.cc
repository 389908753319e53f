// Laws of the coder: what goes in comes out, at a size near the entropy; damage is seen.
#include "kernels/rans.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/table.h"

namespace sluice::kernels {
namespace {

using Symbols = std::vector<std::uint8_t>;

struct Stream {
  RansWriter writer;
  std::vector<std::byte> room;
};

Stream encode(const RansTable& table, const Symbols& symbols) {
  Stream stream;
  stream.room.resize(2 * symbols.size());
  stream.writer = open_rans_writer(stream.room);
  ref_kernels().rans_encode(stream.writer, table, symbols);
  return stream;
}

RansReader reader_of(const Stream& stream) {
  return {.states = stream.writer.states,
          .cursor = stream.writer.cursor,
          .end = stream.room.data() + stream.room.size(),
          .intact = true};
}

std::vector<std::uint16_t> random_frequencies(std::mt19937& random, std::size_t symbols) {
  std::vector<std::uint16_t> frequencies(symbols, 1);
  for (std::size_t left = kRansSlots - symbols; left > 0; --left) {
    const std::size_t index = random() % symbols;
    ++frequencies[index * index / symbols];
  }
  return frequencies;
}

TEST(Rans, WhatGoesInComesOut) {
  std::mt19937 random(42);
  for (const std::size_t alphabet : {1, 2, 5, 31, 64}) {
    for (const std::size_t count : {0, 1, 31, 32, 33, 255, 1000}) {
      const auto frequencies = random_frequencies(random, alphabet);
      RansTable table;
      ASSERT_TRUE(make_rans_table(frequencies, table));
      Symbols symbols(count), decoded(count);
      for (auto& symbol : symbols) symbol = static_cast<std::uint8_t>(random() % alphabet);
      const Stream stream = encode(table, symbols);
      RansReader reader = reader_of(stream);
      ref_kernels().rans_decode(reader, table, decoded);
      EXPECT_EQ(symbols, decoded);
      EXPECT_TRUE(is_finished(reader));
    }
  }
}

TEST(Rans, SizeIsTheEntropyAndLittleMore) {
  std::mt19937 random(7);
  const auto frequencies = random_frequencies(random, 20);
  RansTable table;
  ASSERT_TRUE(make_rans_table(frequencies, table));
  std::discrete_distribution<int> draw(frequencies.begin(), frequencies.end());
  Symbols symbols(50000);
  double bits = 0;
  for (auto& symbol : symbols) {
    symbol = static_cast<std::uint8_t>(draw(random));
    bits -= std::log2(frequencies[symbol] / 256.0);
  }
  const Stream stream = encode(table, symbols);
  const auto size = static_cast<double>(stream.room.data() + stream.room.size() - stream.writer.cursor);
  EXPECT_LE(size * 8, bits * 1.001 + 32 * 16);
}

TEST(Rans, ContextsChooseTheTable) {
  std::mt19937 random(3);
  const std::array frequencies{random_frequencies(random, 4), random_frequencies(random, 3),
                               random_frequencies(random, 4), random_frequencies(random, 4)};
  RansContexts tables;
  ASSERT_TRUE(make_rans_contexts({frequencies[0], frequencies[1], frequencies[2], frequencies[3]}, tables));
  Symbols symbols(777), contexts(777), decoded(777);
  for (auto& symbol : symbols) symbol = static_cast<std::uint8_t>(random() % 3);
  for (auto& context : contexts) context = static_cast<std::uint8_t>(random() % 4);
  Stream stream;
  stream.room.resize(2 * symbols.size());
  stream.writer = open_rans_writer(stream.room);
  const RansEncodeRun encode_run{.by_context = &tables, .contexts = contexts.data(), .symbols = symbols};
  const RansEncodeStream encode_stream{&stream.writer, {&encode_run, 1}};
  ref_kernels().rans_encode_streams({&encode_stream, 1});
  RansReader reader = reader_of(stream);
  const RansDecodeRun decode_run{.by_context = &tables, .contexts = contexts.data(), .symbols = decoded};
  const RansDecodeStream decode_stream{&reader, {&decode_run, 1}};
  ref_kernels().rans_decode_streams({&decode_stream, 1});
  EXPECT_EQ(symbols, decoded);
  EXPECT_TRUE(is_finished(reader));
}

TEST(Rans, DivisionByReciprocalIsExact) {
  for (std::uint16_t frequency = 1; frequency <= kRansSlots; ++frequency) {
    std::vector<std::uint16_t> frequencies{frequency};
    if (frequency < kRansSlots) frequencies.push_back(static_cast<std::uint16_t>(kRansSlots - frequency));
    RansTable table;
    ASSERT_TRUE(make_rans_table(frequencies, table));
    const std::uint64_t limit = table.encode[0].limit;
    for (std::uint64_t multiple = 0; multiple < limit; multiple += limit / 997 + 1) {
      for (const std::uint64_t x : {multiple / frequency * frequency, multiple, limit - 1 - multiple}) {
        ASSERT_EQ((x * table.encode[0].reciprocal) >> 40U, x / frequency) << x << " " << frequency;
      }
    }
  }
}

TEST(Rans, MissingWordsAreSeenAndMostFlippedBitsToo) {
  std::mt19937 random(5);
  RansTable table;
  ASSERT_TRUE(make_rans_table(random_frequencies(random, 12), table));
  Symbols symbols(500), decoded(500);
  for (auto& symbol : symbols) symbol = static_cast<std::uint8_t>(random() % 12);
  Stream stream = encode(table, symbols);
  RansReader shorter = reader_of(stream);
  shorter.end -= 2;
  ref_kernels().rans_decode(shorter, table, decoded);
  EXPECT_FALSE(is_finished(shorter));
  int seen = 0;
  for (std::size_t bit = 0; bit < 100; ++bit) {
    std::byte& byte = stream.writer.cursor[bit];
    byte ^= std::byte{16};
    RansReader reader = reader_of(stream);
    ref_kernels().rans_decode(reader, table, decoded);
    seen += is_finished(reader) ? 0 : 1;
    byte ^= std::byte{16};
  }
  EXPECT_GT(seen, 90);  // lanes may fall back into step: the digest is the guard, this check is a second one
}

TEST(RansTable, SumsOtherThanTheSlotsAreRefused) {
  RansTable table;
  EXPECT_FALSE(make_rans_table(std::vector<std::uint16_t>{255}, table));
  EXPECT_FALSE(make_rans_table(std::vector<std::uint16_t>{200, 57}, table));
  EXPECT_FALSE(make_rans_table(std::vector<std::uint16_t>(65, 4), table));
  EXPECT_FALSE(make_rans_table({}, table));
}

}  // namespace
}  // namespace sluice::kernels
