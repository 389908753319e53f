// Scalar rANS: the normative coder. The decoder checks for words once per group of 32 symbols, then runs free.
#include "kernels/rans.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.h"
#include "kernels/ref/kernels.h"

namespace sluice::kernels {
namespace {

// Nodes of a tree over `before`, in order of depth; leaves beyond the symbols are never reached.
void fill_tree(std::span<const std::uint8_t> before, std::span<std::uint8_t> tree) {
  const std::size_t leaves = tree.size();
  for (std::size_t first = 1, width = leaves; first < leaves; first *= 2, width /= 2) {
    for (std::size_t i = 0; i < first; ++i) tree[first + i] = before[i * width + width / 2];
  }
}

void fill_search(std::span<const std::uint16_t> frequencies, RansSearch& search) {
  constexpr std::uint8_t kNever = 0x7F;
  search.before.fill(kNever);
  std::size_t first = 0;
  while (frequencies[first] == 0) ++first;
  search.first = static_cast<std::uint8_t>(first);
  search.is_constant = frequencies[first] == kRansSlots;
  std::uint32_t start = 0;
  for (std::size_t entry = 0; first + entry < frequencies.size(); ++entry) {
    const std::uint32_t frequency = frequencies[first + entry];
    search.before[entry] = static_cast<std::uint8_t>((start - 1) ^ 0x80U);
    search.frequency[entry] = static_cast<std::uint8_t>(frequency);
    search.start[entry] = static_cast<std::uint8_t>(start);
    if (frequency == 0) continue;
    const std::uint32_t reciprocal = std::min((1U << 16U) / frequency, 0xFFFFU);
    search.reciprocal_low[entry] = static_cast<std::uint8_t>(reciprocal);
    search.reciprocal_high[entry] = static_cast<std::uint8_t>(reciprocal >> 8U);
    search.entries = static_cast<std::uint8_t>(entry + 1);
    start += frequency;
  }
  for (std::size_t depth = 2; depth <= RansSearch::kSmallDepth; ++depth) {
    fill_tree(search.before, std::span(search.small_trees[depth - 2]).first(std::size_t{1} << depth));
  }
  fill_tree(search.before, search.middle_tree);
  fill_tree(search.before, search.tree);
  search.depth = static_cast<std::uint8_t>(std::max(2U, std::bit_width(search.entries - 1U)));
}

void fill_lookup(std::span<const std::uint16_t> frequencies, RansLookup& lookup) {
  std::uint32_t start = 0;
  for (std::size_t symbol = 0; symbol < frequencies.size(); ++symbol) {
    const std::uint32_t frequency = frequencies[symbol];
    if (frequency == 0) continue;
    for (std::uint32_t slot = start; slot < start + frequency; ++slot) {
      lookup.symbol_of_slot[slot] = static_cast<std::uint8_t>(symbol);
    }
    lookup.entry[symbol] = static_cast<std::uint16_t>((frequency & 0xFFU) | start << 8U);
    lookup.reciprocal[symbol] = static_cast<std::uint16_t>(std::min((1U << 16U) / frequency, 0xFFFFU));
    lookup.symbols = symbol + 1;
    start += frequency;
  }
}

}  // namespace

bool make_rans_table(std::span<const std::uint16_t> frequencies, RansTable& table) {
  if (frequencies.size() > kRansMaxSymbols) return false;
  std::uint32_t sum = 0;
  for (const std::uint16_t frequency : frequencies) sum += frequency;
  if (sum != kRansSlots) return false;
  table = RansTable{};
  std::uint32_t start = 0;
  for (std::uint32_t symbol = 0; symbol < frequencies.size(); ++symbol) {
    const std::uint32_t frequency = frequencies[symbol];
    for (std::uint32_t offset = 0; offset < frequency; ++offset) {
      table.decode[start + offset] = symbol | frequency << 8U | offset << 20U;
    }
    if (frequency != 0) {
      const std::uint64_t reciprocal = ((std::uint64_t{1} << 40U) + frequency - 1) / frequency;
      table.encode[symbol] = {reciprocal, std::uint64_t{frequency} << 24U, start, kRansSlots - frequency};
    }
    start += frequency;
  }
  fill_search(frequencies, table.search);
  fill_lookup(frequencies, table.lookup);
  return true;
}

bool make_rans_contexts(const std::array<std::span<const std::uint16_t>, kRansContexts>& frequencies,
                        RansContexts& contexts) {
  RansContexts made;
  made.lookup.is_complete = true;
  for (auto& starts : made.lookup.starts) starts.fill(kRansSlots);
  for (std::size_t context = 0; context < kRansContexts; ++context) {
    const std::span<const std::uint16_t> own = frequencies[context];
    RansTable& table = made.tables[context];
    if (own.size() > kRansContextSymbols || !make_rans_table(own, table)) return false;
    made.lookup.is_complete = made.lookup.is_complete && !table.search.is_constant;
    std::uint32_t start = 0;
    for (std::size_t symbol = 0; symbol < own.size(); ++symbol) {
      const std::size_t at = context * kRansContextSymbols + symbol;
      made.lookup.entry[at] = table.lookup.entry[symbol];
      made.lookup.reciprocal[at] = table.lookup.reciprocal[symbol];
      if (symbol != 0) made.lookup.starts[symbol - 1][context] = static_cast<std::uint16_t>(start);
      start += own[symbol];
    }
  }
  contexts = made;
  return true;
}

RansWriter open_rans_writer(std::span<std::byte> room) {
  RansWriter writer;
  writer.states.fill(kRansStart);
  writer.first = room.data();
  writer.cursor = room.data() + room.size();
  return writer;
}

bool is_finished(const RansReader& reader) {
  const bool at_start =
      std::all_of(reader.states.begin(), reader.states.end(), [](std::uint32_t state) { return state == kRansStart; });
  return reader.intact && reader.cursor == reader.end && at_start;
}

namespace ref {
namespace {

constexpr std::size_t kWord = sizeof(std::uint16_t);

// Words are little-endian on every machine that this builds for; table.cc asserts it.
std::uint16_t load_word(const std::byte* from) {
  std::uint16_t word = 0;
  std::memcpy(&word, from, kWord);
  return word;
}

std::byte* put(std::uint32_t& state, const RansTable::EncodeEntry& entry, std::byte* cursor) {
  std::uint64_t x = state;
  if (x >= entry.limit) {
    const std::uint16_t word = static_cast<std::uint16_t>(x);
    cursor -= kWord;
    std::memcpy(cursor, &word, kWord);
    x >>= 16U;
  }
  // x < frequency << 24, so this quotient by reciprocal is exact: see FORMAT.md section 4.
  const std::uint64_t quotient = (x * entry.reciprocal) >> 40U;
  state = static_cast<std::uint32_t>(x + entry.start + quotient * entry.complement);
  return cursor;
}

struct Step {
  std::uint32_t state;
  std::uint8_t symbol;
};

inline Step take(std::uint32_t state, const RansTable& table) {
  const std::uint32_t entry = table.decode[state & (kRansSlots - 1)];
  const std::uint32_t frequency = (entry >> 8U) & 0xFFFU;
  return {frequency * (state >> 8U) + (entry >> 20U), static_cast<std::uint8_t>(entry)};
}

// Decodes up to 32 symbols of one group with a check per word; used near the end of the words and for short groups.
template <typename TableOf>
void take_checked(RansReader& reader, TableOf table_of, std::span<std::uint8_t> symbols) {
  for (std::size_t lane = 0; lane < symbols.size(); ++lane) {
    const Step step = take(reader.states[lane], table_of(lane));
    symbols[lane] = step.symbol;
    std::uint32_t state = step.state;
    if (state < kRansStart) {
      if (reader.cursor == reader.end) {
        reader.intact = false;
        state |= kRansStart;  // keeps the arithmetic in range; the result is refused anyway
      } else {
        state = state << 16U | load_word(reader.cursor);
        reader.cursor += kWord;
      }
    }
    reader.states[lane] = state;
  }
}

template <typename TableOf>
void decode_run(RansReader& reader, TableOf table_of, std::span<std::uint8_t> symbols) {
  std::size_t done = 0;
  const std::byte* cursor = reader.cursor;
  for (; done + kRansLanes <= symbols.size(); done += kRansLanes) {
    if (reader.end - cursor < static_cast<std::ptrdiff_t>(kRansLanes * kWord)) break;
    std::uint8_t* const out = symbols.data() + done;
    for (std::size_t lane = 0; lane < kRansLanes; ++lane) {
      const Step step = take(reader.states[lane], table_of(done + lane));
      out[lane] = step.symbol;
      const std::uint32_t refilled = step.state << 16U | load_word(cursor);
      const bool is_low = step.state < kRansStart;
      reader.states[lane] = is_low ? refilled : step.state;
      cursor += is_low ? kWord : 0;
    }
  }
  reader.cursor = cursor;
  for (; done < symbols.size(); done += kRansLanes) {
    const std::size_t group = std::min(kRansLanes, symbols.size() - done);
    take_checked(
        reader, [&](std::size_t lane) -> const RansTable& { return table_of(done + lane); },
        symbols.subspan(done, group));
  }
}

template <typename TableOf>
void encode_run(RansWriter& writer, TableOf table_of, std::span<const std::uint8_t> symbols) {
  SLUICE_ASSERT(static_cast<std::size_t>(writer.cursor - writer.first) >= symbols.size() * kWord);
  std::byte* cursor = writer.cursor;
  for (std::size_t i = symbols.size(); i-- > 0;) {
    cursor = put(writer.states[i % kRansLanes], table_of(i).encode[symbols[i]], cursor);
  }
  writer.cursor = cursor;
}

}  // namespace

void rans_encode(RansWriter& writer, const RansTable& table, std::span<const std::uint8_t> symbols) {
  encode_run(
      writer, [&](std::size_t) -> const RansTable& { return table; }, symbols);
}

void rans_decode(RansReader& reader, const RansTable& table, std::span<std::uint8_t> symbols) {
  decode_run(
      reader, [&](std::size_t) -> const RansTable& { return table; }, symbols);
}

void rans_encode_streams(std::span<const RansEncodeStream> streams) {
  for (const RansEncodeStream& stream : streams) {
    for (std::size_t i = stream.runs.size(); i-- > 0;) {
      const RansEncodeRun& run = stream.runs[i];
      const auto by_context = [&](std::size_t k) -> const RansTable& {
        return run.by_context->tables[run.contexts[k]];
      };
      run.by_context == nullptr ? rans_encode(*stream.writer, *run.table, run.symbols)
                                : encode_run(*stream.writer, by_context, run.symbols);
    }
  }
}

void rans_decode_streams(std::span<const RansDecodeStream> streams) {
  for (const RansDecodeStream& stream : streams) {
    for (const RansDecodeRun& run : stream.runs) {
      const auto by_context = [&](std::size_t k) -> const RansTable& {
        return run.by_context->tables[run.contexts[k]];
      };
      run.by_context == nullptr ? rans_decode(*stream.reader, *run.table, run.symbols)
                                : decode_run(*stream.reader, by_context, run.symbols);
    }
  }
}

}  // namespace ref
}  // namespace sluice::kernels
