// rANS of every table against ref: words, states, cursors and symbols equal on random, constant, all-escape and
// single-symbol streams, with too little room before the end, and on truncated and corrupted ones.
#include <algorithm>

#include "tests/check/every_table.h"

namespace sluice::kernels {
namespace {

using Symbols = std::vector<std::uint8_t>;

class Rans : public EveryTable {
 protected:
  std::mt19937 random_{77};
};

// From flat (skew 0) to nearly all on the first symbol.
std::vector<std::uint16_t> frequencies_of(std::size_t symbols, double skew) {
  std::vector<std::uint16_t> frequencies(symbols, 1);
  const std::size_t spare = kRansSlots - symbols;
  const std::size_t to_first = static_cast<std::size_t>(static_cast<double>(spare) * skew);
  frequencies[0] = static_cast<std::uint16_t>(1 + to_first);
  for (std::size_t i = 0; i < spare - to_first; ++i) ++frequencies[i % symbols];
  return frequencies;
}

RansTable table_of(const std::vector<std::uint16_t>& frequencies) {
  RansTable table;
  EXPECT_TRUE(make_rans_table(frequencies, table));
  return table;
}

Symbols draw(std::mt19937& random, const std::vector<std::uint16_t>& frequencies, std::size_t count) {
  std::discrete_distribution<int> distribution(frequencies.begin(), frequencies.end());
  Symbols symbols(count);
  for (auto& symbol : symbols) symbol = static_cast<std::uint8_t>(distribution(random));
  return symbols;
}

// A stream's room (words of the size that the symbols need at most, plus `spare`) and its writer.
struct Stream {
  std::vector<std::byte> room;
  RansWriter writer;
  Stream(std::size_t symbols, std::size_t spare)
      : room(2 * symbols + spare, std::byte{0xEE}), writer(open_rans_writer(room)) {}
  std::span<const std::byte> words() const {
    const auto at = static_cast<std::size_t>(writer.cursor - room.data());
    return std::span<const std::byte>(room).subspan(at);
  }
  RansReader reader() const {
    return {.states = writer.states, .cursor = writer.cursor, .end = room.data() + room.size(), .intact = true};
  }
};

void expect_same(const Stream& got, const Stream& wanted) {
  ASSERT_EQ(got.writer.states, wanted.writer.states);
  ASSERT_TRUE(std::ranges::equal(got.words(), wanted.words()));
}

void expect_same(const RansReader& got, const RansReader& wanted) {
  ASSERT_EQ(got.intact, wanted.intact);
  ASSERT_EQ(got.cursor, wanted.cursor);
  ASSERT_EQ(got.states, wanted.states);
}

TEST_P(Rans, StreamsOfEveryLengthAndAlphabetAreThoseOfRef) {
  for (const std::size_t alphabet : {1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 33, 63, 64}) {
    for (const double skew : {0.0, 0.7, 1.0}) {
      const std::vector<std::uint16_t> frequencies = frequencies_of(alphabet, skew);
      const RansTable rans = table_of(frequencies);
      for (const std::size_t count : lengths()) {
        const Symbols symbols = draw(random_, frequencies, count);
        Stream got(count, 0), wanted(count, 0);
        table().rans_encode(got.writer, rans, symbols);
        ref().rans_encode(wanted.writer, rans, symbols);
        expect_same(got, wanted);
        Guarded<std::uint8_t> back(count);
        RansReader reader = got.reader();
        table().rans_decode(reader, rans, back.values());
        ASSERT_TRUE(std::ranges::equal(back.values(), symbols)) << alphabet << " " << count;
        ASSERT_TRUE(is_finished(reader) && back.is_intact());
      }
    }
  }
}

TEST_P(Rans, EverySymbolOfEveryFrequencyAloneAndAmongOthersIsThatOfRef) {
  for (std::size_t frequency = 1; frequency <= kRansSlots; ++frequency) {
    std::vector<std::uint16_t> frequencies{static_cast<std::uint16_t>(frequency)};
    if (frequency < kRansSlots) frequencies.push_back(static_cast<std::uint16_t>(kRansSlots - frequency));
    const RansTable rans = table_of(frequencies);
    for (const bool is_mixed : {false, true}) {
      Symbols symbols(333, 0);
      if (is_mixed) symbols = draw(random_, frequencies, symbols.size());
      Stream got(symbols.size(), 0), wanted(symbols.size(), 0);
      // Random states reach every digit of the division.
      for (std::uint32_t& state : got.writer.states) state = static_cast<std::uint32_t>(random_()) | kRansStart;
      wanted.writer.states = got.writer.states;
      table().rans_encode(got.writer, rans, symbols);
      ref().rans_encode(wanted.writer, rans, symbols);
      expect_same(got, wanted);
    }
  }
}

TEST_P(Rans, SymbolsOfFrequencyZeroMayStandAnywhere) {
  for (int round = 0; round < 300; ++round) {
    std::vector<std::uint16_t> frequencies = frequencies_of(2 + random_() % 63, static_cast<double>(round % 4) / 4);
    const std::size_t kept = random_() % frequencies.size();
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      if (i == kept || random_() % 3 != 0) continue;
      frequencies[kept] = static_cast<std::uint16_t>(frequencies[kept] + frequencies[i]);
      frequencies[i] = 0;
    }
    const RansTable rans = table_of(frequencies);
    const Symbols symbols = draw(random_, frequencies, 500);
    Symbols back(symbols.size());
    Stream got(symbols.size(), 0), wanted(symbols.size(), 0);
    table().rans_encode(got.writer, rans, symbols);
    ref().rans_encode(wanted.writer, rans, symbols);
    expect_same(got, wanted);
    RansReader reader = got.reader();
    table().rans_decode(reader, rans, back);
    ASSERT_EQ(back, symbols);
    ASSERT_TRUE(is_finished(reader));
  }
}

TEST_P(Rans, ManyRunsOfOneStreamWithMixedTablesAreThoseOfRef) {
  std::vector<RansTable> tables;
  std::vector<Symbols> runs;
  std::size_t total = 0;
  for (std::size_t i = 0; i < 60; ++i) {
    const std::vector<std::uint16_t> frequencies = frequencies_of(1 + random_() % 64, static_cast<double>(i % 10) / 10);
    tables.push_back(table_of(frequencies));
    runs.push_back(draw(random_, frequencies, random_() % 100));
    total += runs.back().size();
  }
  Stream got(total, 0), wanted(total, 0);
  for (std::size_t i = runs.size(); i-- > 0;) {
    table().rans_encode(got.writer, tables[i], runs[i]);
    ref().rans_encode(wanted.writer, tables[i], runs[i]);
  }
  expect_same(got, wanted);
  RansReader reader = got.reader();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    Symbols back(runs[i].size());
    table().rans_decode(reader, tables[i], back);
    ASSERT_EQ(back, runs[i]);
  }
  EXPECT_TRUE(is_finished(reader));
}

TEST_P(Rans, StreamsSideBySideAreThoseOfEachAlone) {
  for (std::size_t streams = 0; streams <= 17; ++streams) {
    for (std::size_t round = 0; round < 20; ++round) {
      std::vector<RansTable> tables;
      std::vector<Symbols> symbols, back;
      std::vector<Stream> got, wanted;
      for (std::size_t i = 0; i < streams; ++i) {
        const std::vector<std::uint16_t> frequencies =
            frequencies_of(1 + random_() % (round % 2 == 0 ? 8 : 64), static_cast<double>(random_() % 10) / 9);
        tables.push_back(table_of(frequencies));
        symbols.push_back(draw(random_, frequencies, round % 3 == 0 ? 223 : random_() % 300));
        back.emplace_back(symbols.back().size());
        got.emplace_back(symbols.back().size(), 0);
        wanted.emplace_back(symbols.back().size(), 0);
        ref().rans_encode(wanted.back().writer, tables.back(), symbols.back());
      }
      std::vector<RansEncodeRun> encode;
      for (std::size_t i = 0; i < streams; ++i) encode.push_back({&got[i].writer, &tables[i], symbols[i]});
      table().rans_encode_runs(encode);
      std::vector<RansReader> readers;
      for (std::size_t i = 0; i < streams; ++i) {
        expect_same(got[i], wanted[i]);
        readers.push_back(got[i].reader());
      }
      std::vector<RansDecodeRun> decode;
      for (std::size_t i = 0; i < streams; ++i) decode.push_back({&readers[i], &tables[i], back[i]});
      table().rans_decode_runs(decode);
      EXPECT_EQ(back, symbols);
      for (const RansReader& reader : readers) EXPECT_TRUE(is_finished(reader));
    }
  }
}

TEST_P(Rans, ContextsAreThoseOfRef) {
  for (const std::size_t contexts : {1, 2, 3, 4, 7}) {
    for (const std::size_t alphabet : {1, 2, 5, 6, 40}) {
      std::vector<RansTable> tables;
      std::vector<std::vector<std::uint16_t>> frequencies;
      for (std::size_t i = 0; i < contexts; ++i) {
        frequencies.push_back(frequencies_of(alphabet, static_cast<double>(i) / 7));
        tables.push_back(table_of(frequencies.back()));
      }
      for (const std::size_t count : lengths()) {
        Symbols context(count), symbols(count), back(count);
        for (std::size_t i = 0; i < count; ++i) {
          context[i] = static_cast<std::uint8_t>(random_() % contexts);
          symbols[i] = draw(random_, frequencies[context[i]], 1)[0];
        }
        Stream got(count, 0), wanted(count, 0);
        table().rans_encode_context(got.writer, tables, context, symbols);
        ref().rans_encode_context(wanted.writer, tables, context, symbols);
        expect_same(got, wanted);
        RansReader reader = got.reader();
        table().rans_decode_context(reader, tables, context, back);
        ASSERT_EQ(back, symbols) << contexts << " " << alphabet << " " << count;
        ASSERT_TRUE(is_finished(reader));
      }
    }
  }
}

// Words, states and frequencies from anywhere: same symbols, same verdict, nothing read outside (under ASan).
TEST_P(Rans, DamagedStreamsEndAsInRef) {
  for (int round = 0; round < 3000; ++round) {
    const std::size_t alphabet = 1 + random_() % 64;
    std::vector<std::uint16_t> frequencies = frequencies_of(alphabet, static_cast<double>(random_() % 11) / 10);
    if (round % 5 == 0 && alphabet > 2) {  // zeros anywhere, the first one too
      frequencies[alphabet / 2] = static_cast<std::uint16_t>(frequencies[alphabet / 2] + frequencies[0]);
      frequencies[0] = 0;
    }
    const std::vector<RansTable> tables{table_of(frequencies), table_of(frequencies_of(5, 0.5)), table_of({100, 156})};
    std::vector<std::byte> words(2 * (random_() % 120));
    for (std::byte& byte : words) byte = static_cast<std::byte>(random_());
    RansReader got;
    for (std::uint32_t& state : got.states) state = static_cast<std::uint32_t>(random_()) >> (round % 7 == 0 ? 16 : 0);
    got.cursor = words.data();
    got.end = words.data() + words.size();
    RansReader wanted = got;
    for (int run = 0; run < 4; ++run) {
      const std::size_t count = random_() % 100;
      Symbols symbols(count), wanted_symbols(count), contexts(count);
      for (auto& context : contexts) context = static_cast<std::uint8_t>(random_() % 2);
      if (run % 2 == 0) {
        table().rans_decode(got, tables[0], symbols);
        ref().rans_decode(wanted, tables[0], wanted_symbols);
      } else {
        const std::span<const RansTable> pair = std::span(tables).last(2);
        table().rans_decode_context(got, pair, contexts, symbols);
        ref().rans_decode_context(wanted, pair, contexts, wanted_symbols);
      }
      ASSERT_EQ(symbols, wanted_symbols) << round;
      expect_same(got, wanted);
    }
  }
}

TEST_P(Rans, EveryTruncationIsSeen) {
  const std::vector<std::uint16_t> frequencies = frequencies_of(12, 0.3);
  const RansTable rans = table_of(frequencies);
  const Symbols symbols = draw(random_, frequencies, 400);
  Stream stream(symbols.size(), 0);
  table().rans_encode(stream.writer, rans, symbols);
  for (std::size_t lost = 2; lost <= stream.words().size(); lost += 2) {
    const std::vector<std::byte> words(stream.words().begin(),
                                       stream.words().end() - static_cast<std::ptrdiff_t>(lost));
    RansReader reader{.states = stream.writer.states, .cursor = words.data(), .end = words.data() + words.size()};
    Symbols back(symbols.size());
    table().rans_decode(reader, rans, back);
    ASSERT_FALSE(is_finished(reader)) << lost;
  }
}

INSTANTIATE_TEST_SUITE_P(Check, Rans, testing::ValuesIn(kTables), table_name);

}  // namespace
}  // namespace sluice::kernels
