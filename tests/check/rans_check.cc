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

// Streams of several runs, every run with a table or with contexts of its own.
struct Material {
  std::vector<std::vector<RansTable>> tables;
  std::vector<std::vector<RansContexts>> by_context;
  std::vector<std::vector<Symbols>> symbols, contexts, back;
  std::vector<std::vector<RansEncodeRun>> encode_runs;
  std::vector<std::vector<RansDecodeRun>> decode_runs;

  std::size_t symbols_of(std::size_t stream) const {
    std::size_t total = 0;
    for (const Symbols& run : symbols[stream]) total += run.size();
    return total;
  }
};

RansContexts contexts_of(const std::array<std::vector<std::uint16_t>, kRansContexts>& frequencies) {
  RansContexts contexts;
  EXPECT_TRUE(make_rans_contexts({frequencies[0], frequencies[1], frequencies[2], frequencies[3]}, contexts));
  return contexts;
}

// Frequencies of a context's symbols; kinds 6 and 7 leave some out, kind 8 all but one.
std::vector<std::uint16_t> context_frequencies(std::size_t kind) {
  if (kind == 6) return {0, 100, 156, 0};
  if (kind == 7) return {60, 0, 0, 196};
  if (kind == 8) return {0, 0, 256};
  return frequencies_of(2 + kind % 3, static_cast<double>(kind) / 6);
}

void add_table_run(Material& m, std::mt19937& random, std::size_t alphabet, std::size_t count) {
  const std::vector<std::uint16_t> frequencies = frequencies_of(alphabet, static_cast<double>(random() % 10) / 9);
  m.tables.back().push_back(table_of(frequencies));
  m.symbols.back().push_back(draw(random, frequencies, count));
}

void add_context_run(Material& m, std::mt19937& random, std::size_t kinds, std::size_t count) {
  std::array<std::vector<std::uint16_t>, kRansContexts> frequencies;
  for (auto& own : frequencies) own = context_frequencies(random() % kinds);
  m.by_context.back().push_back(contexts_of(frequencies));
  Symbols symbols(count), contexts(count);
  for (std::size_t i = 0; i < count; ++i) {
    contexts[i] = static_cast<std::uint8_t>(random() % kRansContexts);
    symbols[i] = draw(random, frequencies[contexts[i]], 1)[0];
  }
  m.symbols.back().push_back(symbols);
  m.contexts.back().push_back(contexts);
}

// Views of everything; only when nothing grows any more.
void link(Material& m) {
  for (std::size_t stream = 0; stream < m.symbols.size(); ++stream) {
    for (const Symbols& run : m.symbols[stream]) m.back[stream].emplace_back(run.size());
    for (std::size_t i = 0; i < m.symbols[stream].size(); ++i) {
      RansEncodeRun encode{.symbols = m.symbols[stream][i]};
      RansDecodeRun decode{.symbols = m.back[stream][i]};
      if (m.contexts[stream].empty()) {
        encode.table = decode.table = &m.tables[stream][i];
      } else {
        encode.by_context = decode.by_context = &m.by_context[stream][i];
        encode.contexts = decode.contexts = m.contexts[stream][i].data();
      }
      m.encode_runs[stream].push_back(encode);
      m.decode_runs[stream].push_back(decode);
    }
  }
}

Material material(std::mt19937& random, std::size_t streams, std::size_t round, bool has_contexts) {
  Material m;
  for (std::size_t stream = 0; stream < streams; ++stream) {
    m.tables.emplace_back();
    m.by_context.emplace_back();
    m.symbols.emplace_back();
    m.contexts.emplace_back();
    const std::size_t runs = round % 4 == 1 ? 3 : random() % 5;
    for (std::size_t run = 0; run < runs; ++run) {
      const std::size_t count = round % 3 == 0 ? 223 : random() % 300;
      has_contexts ? add_context_run(m, random, round % 5 == 0 ? 9 : 8, count)
                   : add_table_run(m, random, 1 + random() % (round % 2 == 0 ? 8 : 64), count);
    }
  }
  m.back.resize(streams);
  m.encode_runs.resize(streams);
  m.decode_runs.resize(streams);
  link(m);
  return m;
}

TEST_P(Rans, StreamsSideBySideAreThoseOfRef) {
  for (std::size_t streams = 0; streams <= 17; ++streams) {
    for (std::size_t round = 0; round < 20; ++round) {
      Material m = material(random_, streams, round, round >= 10);
      std::vector<Stream> got, wanted;
      for (std::size_t i = 0; i < streams; ++i) {
        got.emplace_back(m.symbols_of(i), 0);
        wanted.emplace_back(m.symbols_of(i), 0);
      }
      std::vector<RansEncodeStream> encode, encode_wanted;
      for (std::size_t i = 0; i < streams; ++i) {
        encode.push_back({&got[i].writer, m.encode_runs[i]});
        encode_wanted.push_back({&wanted[i].writer, m.encode_runs[i]});
      }
      table().rans_encode_streams(encode);
      ref().rans_encode_streams(encode_wanted);
      std::vector<RansReader> readers;
      for (std::size_t i = 0; i < streams; ++i) {
        expect_same(got[i], wanted[i]);
        readers.push_back(got[i].reader());
      }
      std::vector<RansDecodeStream> decode;
      for (std::size_t i = 0; i < streams; ++i) decode.push_back({&readers[i], m.decode_runs[i]});
      table().rans_decode_streams(decode);
      ASSERT_EQ(m.back, m.symbols) << streams << " " << round;
      for (const RansReader& reader : readers) ASSERT_TRUE(is_finished(reader));
    }
  }
}

// A stream whose words and states come from anywhere.
struct Rubbish {
  std::vector<std::byte> words;
  RansReader reader;
};

Rubbish rubbish(std::mt19937& random, std::size_t most_words, bool has_low_states) {
  Rubbish made{std::vector<std::byte>(2 * (random() % most_words)), {}};
  for (std::byte& byte : made.words) byte = static_cast<std::byte>(random());
  for (std::uint32_t& state : made.reader.states) {
    state = static_cast<std::uint32_t>(random()) >> (has_low_states ? 16 : 0);
  }
  made.reader.cursor = made.words.data();
  made.reader.end = made.words.data() + made.words.size();
  return made;
}

// Same symbols, same verdict, nothing read outside (under ASan).
TEST_P(Rans, DamagedStreamsEndAsInRef) {
  for (int round = 0; round < 3000; ++round) {
    const std::size_t alphabet = 1 + random_() % 64;
    std::vector<std::uint16_t> frequencies = frequencies_of(alphabet, static_cast<double>(random_() % 11) / 10);
    if (round % 5 == 0 && alphabet > 2) {  // zeros anywhere, the first one too
      frequencies[alphabet / 2] = static_cast<std::uint16_t>(frequencies[alphabet / 2] + frequencies[0]);
      frequencies[0] = 0;
    }
    const RansTable rans = table_of(frequencies);
    const Rubbish stream = rubbish(random_, 120, round % 7 == 0);
    RansReader got = stream.reader, wanted = stream.reader;
    for (int run = 0; run < 4; ++run) {
      Symbols symbols(random_() % 100), wanted_symbols(symbols.size());
      table().rans_decode(got, rans, symbols);
      ref().rans_decode(wanted, rans, wanted_symbols);
      ASSERT_EQ(symbols, wanted_symbols) << round;
      expect_same(got, wanted);
    }
  }
}

TEST_P(Rans, DamagedStreamsSideBySideEndAsInRef) {
  for (std::size_t round = 0; round < 600; ++round) {
    const std::size_t streams = 1 + random_() % 9;
    Material m = material(random_, streams, round, round % 2 == 0);
    std::vector<Rubbish> damaged;
    for (std::size_t i = 0; i < streams; ++i) damaged.push_back(rubbish(random_, 600, round % 7 == 0));
    std::vector<RansReader> got, wanted;
    std::vector<RansDecodeStream> decode, decode_wanted;
    for (const Rubbish& stream : damaged) {
      got.push_back(stream.reader);
      wanted.push_back(stream.reader);
    }
    for (std::size_t i = 0; i < streams; ++i) {
      decode.push_back({&got[i], m.decode_runs[i]});
      decode_wanted.push_back({&wanted[i], m.decode_runs[i]});
    }
    table().rans_decode_streams(decode);
    const std::vector<std::vector<Symbols>> symbols = m.back;
    ref().rans_decode_streams(decode_wanted);
    ASSERT_EQ(symbols, m.back) << round;
    for (std::size_t i = 0; i < streams; ++i) expect_same(got[i], wanted[i]);
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
