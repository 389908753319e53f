// rANS encoding in registers: frequency, start and reciprocal of 32 symbols by shuffles; the state is divided digit by
// digit, 16 bits by 8, with an estimate that is at most one too small. Streams take turns as in decoding.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "kernels/avx2/kernels.h"
#include "kernels/avx2/rans_lanes.h"

namespace sluice::kernels::avx2 {
namespace {

constexpr std::size_t kGroupBytes = 2 * kRansLanes;
constexpr std::size_t kStreams = 2;

// What encoding a group needs of its symbols, one byte a lane in lane order.
struct Entries {
  __m256i frequency, start, reciprocal_low, reciprocal_high;
};

class SmallTable {
 public:
  explicit SmallTable(const RansTable& table)
      : frequency_(twice(table.search.frequency.data())),
        start_(twice(table.search.start.data())),
        reciprocal_low_(twice(table.search.reciprocal_low.data())),
        reciprocal_high_(twice(table.search.reciprocal_high.data())),
        lowest_(_mm256_set1_epi8(static_cast<char>(table.search.first))) {}

  Entries operator()(__m256i symbols, std::size_t /*first*/) const { return at(_mm256_sub_epi8(symbols, lowest_)); }

 protected:
  SmallTable() = default;
  Entries at(__m256i entry) const {
    return {_mm256_shuffle_epi8(frequency_, entry), _mm256_shuffle_epi8(start_, entry),
            _mm256_shuffle_epi8(reciprocal_low_, entry), _mm256_shuffle_epi8(reciprocal_high_, entry)};
  }
  __m256i frequency_, start_, reciprocal_low_, reciprocal_high_, lowest_;
};

// Up to 32 or 64 entries.
template <std::size_t kEntries>
class LargeTable {
 public:
  explicit LargeTable(const RansTable& table) : search_(&table.search) {}
  Entries operator()(__m256i symbols, std::size_t /*first*/) const {
    const __m256i entry = _mm256_sub_epi8(symbols, _mm256_set1_epi8(static_cast<char>(search_->first)));
    return {look_up<kEntries>(search_->frequency.data(), entry), look_up<kEntries>(search_->start.data(), entry),
            look_up<kEntries>(search_->reciprocal_low.data(), entry),
            look_up<kEntries>(search_->reciprocal_high.data(), entry)};
  }

 private:
  const RansSearch* search_;
};

static_assert(kRansContextSymbols == 4 && kRansContexts * kRansContextSymbols <= 16);

// One table a context, in one register, as in decoding.
class ContextTable : private SmallTable {
 public:
  ContextTable(const RansContexts& by_context, const std::uint8_t* contexts) : contexts_(contexts) {
    alignas(16) std::array<std::array<std::uint8_t, 16>, 4> rows{};
    for (std::size_t context = 0; context < kRansContexts; ++context) {
      const RansSearch& search = by_context.tables[context].search;
      const std::size_t at = context * kRansContextSymbols;
      std::memcpy(&rows[0][at], search.frequency.data(), kRansContextSymbols);
      std::memcpy(&rows[1][at], search.start.data(), kRansContextSymbols);
      std::memcpy(&rows[2][at], search.reciprocal_low.data(), kRansContextSymbols);
      std::memcpy(&rows[3][at], search.reciprocal_high.data(), kRansContextSymbols);
    }
    frequency_ = twice(rows[0].data());
    start_ = twice(rows[1].data());
    reciprocal_low_ = twice(rows[2].data());
    reciprocal_high_ = twice(rows[3].data());
  }

  static bool can_hold(const RansContexts& by_context) {
    return std::all_of(by_context.tables.begin(), by_context.tables.end(),
                       [](const RansTable& table) { return !table.search.is_constant && table.search.first == 0; });
  }

  Entries operator()(__m256i symbols, std::size_t first) const {
    const __m256i context = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(contexts_ + first));
    return at(_mm256_add_epi8(_mm256_slli_epi16(context, 2), symbols));
  }

 private:
  const std::uint8_t* contexts_;
};

// Digits of a state over an 8-bit frequency, for 16 lanes.
struct Divider {
  __m256i frequency, reciprocal;

  // value / frequency, below 256 by precondition; `value` becomes the rest. Estimate: value * floor(2^16 / f) / 2^16
  // lies less than one below the quotient.
  __m256i operator()(__m256i& value) const {
    const __m256i estimate = _mm256_mulhi_epu16(value, reciprocal);
    const __m256i rest = _mm256_sub_epi16(value, _mm256_mullo_epi16(estimate, frequency));
    // rest < 2 f: signed comparison is safe.
    const __m256i is_enough = _mm256_cmpgt_epi16(frequency, rest);
    value = _mm256_sub_epi16(rest, _mm256_andnot_si256(is_enough, frequency));
    return _mm256_add_epi16(_mm256_add_epi16(estimate, _mm256_set1_epi16(1)), is_enough);
  }
};

// x' = 256 * floor(x / f) + x mod f + start, for x < 2^24 f.
inline void advance(const Divider& divide, __m256i start, __m256i& low, __m256i& high) {
  __m256i value = high;
  const __m256i digit2 = divide(value);
  value = _mm256_or_si256(_mm256_slli_epi16(value, 8), _mm256_srli_epi16(low, 8));
  const __m256i digit1 = divide(value);
  value = _mm256_or_si256(_mm256_slli_epi16(value, 8), _mm256_and_si256(low, _mm256_set1_epi16(0xFF)));
  const __m256i digit0 = divide(value);
  high = _mm256_or_si256(_mm256_slli_epi16(digit2, 8), digit1);
  low = _mm256_add_epi16(_mm256_slli_epi16(digit0, 8), _mm256_add_epi16(value, start));
}

// A stream while one of its runs is encoded, from the last symbol to the first.
template <typename Table>
class Run {
 public:
  Run(RansWriter& writer, const Table& table, const std::uint8_t* symbols)
      : writer_(&writer),
        table_(table),
        symbols_(symbols),
        cursor_(writer.cursor),
        states_(load_states(writer.states)) {}

  // Symbols [first, first + 32).
  void whole(std::size_t first) {
    const Entries entries = table_(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(symbols_ + first)), first);
    const Pair frequency256 = as_high_bytes(entries.frequency);
    const auto reached = [](__m256i high, __m256i limit) {
      return _mm256_cmpeq_epi16(_mm256_max_epu16(high, limit), high);
    };
    const Pair is_full{reached(states_.high.a, frequency256.a), reached(states_.high.b, frequency256.b)};
    put(is_full);
    step(entries, states_);
  }

  // Symbols [0, count) of `group`, padded to 32 by anything valid.
  void part(const std::uint8_t* group, std::size_t count) {
    const Entries entries = table_(_mm256_load_si256(reinterpret_cast<const __m256i*>(group)), 0);
    const Pair lanes = first_lanes(count);
    const Pair frequency256 = as_high_bytes(entries.frequency);
    const auto reached = [](__m256i high, __m256i limit, __m256i lane) {
      return _mm256_and_si256(_mm256_cmpeq_epi16(_mm256_max_epu16(high, limit), high), lane);
    };
    put({reached(states_.high.a, frequency256.a, lanes.a), reached(states_.high.b, frequency256.b, lanes.b)});
    LaneStates next = states_;
    step(entries, next);
    states_ = {blend(states_.low, next.low, lanes), blend(states_.high, next.high, lanes)};
  }

  bool has_room() const { return static_cast<std::size_t>(cursor_ - writer_->first) >= kGroupBytes; }

  void close() {
    store_states(states_, writer_->states);
    writer_->cursor = cursor_;
  }

 private:
  // Moves the chosen lanes' lower halves out.
  void put(const Pair& is_full) {
    const std::uint32_t mask = lane_bits(is_full);
    const QuarterOffsets offsets(mask);
    gather_words(states_.low, mask, offsets, cursor_);
    cursor_ -= offsets.at[4];
    states_.low = blend(states_.low, states_.high, is_full);
    states_.high = {_mm256_andnot_si256(is_full.a, states_.high.a), _mm256_andnot_si256(is_full.b, states_.high.b)};
  }

  static void step(const Entries& entries, LaneStates& states) {
    const Pair frequency = as_low_bytes(entries.frequency), start = as_low_bytes(entries.start);
    const Pair reciprocal{_mm256_unpacklo_epi8(entries.reciprocal_low, entries.reciprocal_high),
                          _mm256_unpackhi_epi8(entries.reciprocal_low, entries.reciprocal_high)};
    advance({frequency.a, reciprocal.a}, start.a, states.low.a, states.high.a);
    advance({frequency.b, reciprocal.b}, start.b, states.low.b, states.high.b);
  }

  RansWriter* writer_;
  Table table_;
  const std::uint8_t* symbols_;
  std::byte* cursor_;
  LaneStates states_;
};

// Checks that ref makes: one word a symbol has room.
void check_room(const RansWriter& writer, std::size_t symbols) {
  SLUICE_ASSERT(static_cast<std::size_t>(writer.cursor - writer.first) >= 2 * symbols);
}

// One run of a stream with a table of its own.
struct Work {
  RansWriter* writer = nullptr;
  const RansTable* table = nullptr;
  std::span<const std::uint8_t> symbols;
};

// The last, incomplete group of a run; returns how many symbols come before it. Little room: the scalar coder does it.
template <typename Table>
void encode_rest(const Work& work) {
  const std::size_t whole = work.symbols.size() / kRansLanes * kRansLanes;
  const std::size_t count = work.symbols.size() - whole;
  if (count == 0) return;
  alignas(32) std::uint8_t group[kRansLanes];
  std::memset(group, work.symbols[whole], sizeof group);
  std::memcpy(group, work.symbols.data() + whole, count);
  Run<Table> run(*work.writer, Table(*work.table), group);
  if (!run.has_room()) return ref_kernels().rans_encode(*work.writer, *work.table, work.symbols.subspan(whole));
  run.part(group, count);
  run.close();
}

template <typename Table>
void encode_one(const Work& work) {
  encode_rest<Table>(work);
  Run<Table> run(*work.writer, Table(*work.table), work.symbols.data());
  for (std::size_t groups = work.symbols.size() / kRansLanes; groups-- > 0;) run.whole(groups * kRansLanes);
  run.close();
}

// In turns, then each alone; indices are constants for the reason given in rans_decode.cc.
template <typename Table, std::size_t... kIndex>
void encode_together(const std::array<Work, kStreams>& work, std::index_sequence<kIndex...>) {
  (encode_rest<Table>(work[kIndex]), ...);
  std::array<Run<Table>, kStreams> runs{
      Run<Table>(*work[kIndex].writer, Table(*work[kIndex].table), work[kIndex].symbols.data())...};
  std::array<std::size_t, kStreams> groups{work[kIndex].symbols.size() / kRansLanes...};
  for (std::size_t shared = std::min({groups[kIndex]...}); shared > 0; --shared) {
    (runs[kIndex].whole(--groups[kIndex] * kRansLanes), ...);
  }
  const auto end = [](Run<Table>& run, std::size_t left) {
    while (left > 0) run.whole(--left * kRansLanes);
    run.close();
  };
  (end(runs[kIndex], groups[kIndex]), ...);
}

// Calls visit<Table>() with the table for that many entries.
template <typename Visit>
void with_table(std::size_t entries, Visit visit) {
  if (entries <= RansSearch::kSmall) return visit.template operator()<SmallTable>();
  if (entries <= 2 * RansSearch::kSmall) return visit.template operator()<LargeTable<2 * RansSearch::kSmall>>();
  visit.template operator()<LargeTable<kRansMaxSymbols>>();
}

void encode_any(const Work& run) {
  check_room(*run.writer, run.symbols.size());
  const RansSearch& search = run.table->search;
  if (search.is_constant) return;  // all slots: no state changes
  with_table(search.entries, [&]<typename Table>() { encode_one<Table>(run); });
}

void encode_by_context(RansWriter& writer, const RansEncodeRun& work) {
  check_room(writer, work.symbols.size());
  const std::size_t whole = work.symbols.size() / kRansLanes * kRansLanes;
  const std::size_t count = work.symbols.size() - whole;
  const auto scalar = [&](std::size_t first, std::size_t size) {
    const RansEncodeRun part{nullptr, work.by_context, work.contexts + first, work.symbols.subspan(first, size)};
    const RansEncodeStream stream{&writer, {&part, 1}};
    ref_kernels().rans_encode_streams({&stream, 1});
  };
  if (!ContextTable::can_hold(*work.by_context)) return scalar(0, work.symbols.size());
  if (count != 0) {
    alignas(32) std::uint8_t group[kRansLanes] = {}, last[kRansLanes] = {};
    std::memcpy(group, work.symbols.data() + whole, count);
    std::memcpy(last, work.contexts + whole, count);
    Run<ContextTable> rest(writer, ContextTable(*work.by_context, last), group);
    if (rest.has_room()) {
      rest.part(group, count);
      rest.close();
    } else {
      scalar(whole, count);
    }
  }
  Run<ContextTable> run(writer, ContextTable(*work.by_context, work.contexts), work.symbols.data());
  for (std::size_t groups = whole / kRansLanes; groups-- > 0;) run.whole(groups * kRansLanes);
  run.close();
}

// Runs number `index` from the last of up to kStreams streams.
void encode_side_by_side(std::span<const RansEncodeStream> streams, std::size_t index) {
  std::array<Work, kStreams> waiting;
  std::size_t count = 0;
  std::size_t entries = 0;
  for (const RansEncodeStream& stream : streams) {
    if (index >= stream.runs.size()) continue;
    const RansEncodeRun& run = stream.runs[stream.runs.size() - 1 - index];
    if (run.by_context != nullptr) {
      encode_by_context(*stream.writer, run);
      continue;
    }
    check_room(*stream.writer, run.symbols.size());
    if (run.table->search.is_constant) continue;
    waiting[count++] = {stream.writer, run.table, run.symbols};
    entries = std::max<std::size_t>(entries, run.table->search.entries);
  }
  if (count == kStreams) {
    return with_table(entries,
                      [&]<typename Table>() { encode_together<Table>(waiting, std::make_index_sequence<kStreams>()); });
  }
  for (std::size_t i = 0; i < count; ++i) encode_any(waiting[i]);
}

}  // namespace

void rans_encode(RansWriter& writer, const RansTable& table, std::span<const std::uint8_t> symbols) {
  encode_any({.writer = &writer, .table = &table, .symbols = symbols});
}

void rans_encode_streams(std::span<const RansEncodeStream> streams) {
  for (std::size_t first = 0; first < streams.size(); first += kStreams) {
    const auto some = streams.subspan(first, std::min(kStreams, streams.size() - first));
    std::size_t runs = 0;
    for (const RansEncodeStream& stream : some) runs = std::max(runs, stream.runs.size());
    for (std::size_t index = 0; index < runs; ++index) encode_side_by_side(some, index);
  }
}

}  // namespace sluice::kernels::avx2
