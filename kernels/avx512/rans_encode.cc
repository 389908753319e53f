// rANS encoding without gathers: frequency, start and reciprocal of 32 symbols by word permutations; the state is
// divided digit by digit, 16 bits by 8, with an estimate that is at most one too small. Words leave by a compression in
// registers and a masked store (a compression into memory is microcode on some cores). Streams take turns as in
// decoding.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "kernels/avx512/kernels.h"
#include "kernels/avx512/rans_lanes.h"

namespace sluice::kernels::avx512 {
namespace {

constexpr std::size_t kStreams = 4;
constexpr std::size_t kNarrow = 32;

// What encoding a group needs of its symbols, one word a lane.
struct Entries {
  __m512i entry;  // frequency | start << 8
  __m512i reciprocal;
};

// Up to kSymbols (32 or 64) symbols.
template <std::size_t kSymbols>
class SymbolTable {
 public:
  explicit SymbolTable(const RansEncodeRun& run) : SymbolTable(run.table->lookup) {}

  Entries operator()(__m512i symbols, std::size_t /*first*/, __mmask32 /*lanes*/) const {
    if constexpr (kSymbols == kNarrow) {
      return {_mm512_permutexvar_epi16(symbols, entries_[0]), _mm512_permutexvar_epi16(symbols, reciprocals_[0])};
    }
    return {_mm512_permutex2var_epi16(entries_[0], symbols, entries_[1]),
            _mm512_permutex2var_epi16(reciprocals_[0], symbols, reciprocals_[1])};
  }

 private:
  explicit SymbolTable(const RansLookup& lookup) {
    for (std::size_t i = 0; i < kSymbols / kNarrow; ++i) {
      entries_[i] = load_whole(lookup.entry.data() + kNarrow * i);
      reciprocals_[i] = load_whole(lookup.reciprocal.data() + kNarrow * i);
    }
  }
  __m512i entries_[kSymbols / kNarrow];
  __m512i reciprocals_[kSymbols / kNarrow];
};

// A table per context.
class ContextTable {
 public:
  ContextTable(std::span<const RansTable> tables, const std::uint8_t* contexts) : contexts_(contexts) {
    alignas(64) std::array<std::uint16_t, kRansLanes> entries{}, reciprocals{};
    for (std::size_t context = 0; context < tables.size(); ++context) {
      const RansLookup& lookup = tables[context].lookup;
      std::copy_n(lookup.entry.data(), ContextShape::kSymbols, &entries[context * ContextShape::kSymbols]);
      std::copy_n(lookup.reciprocal.data(), ContextShape::kSymbols, &reciprocals[context * ContextShape::kSymbols]);
    }
    entries_ = load_whole(entries.data());
    reciprocals_ = load_whole(reciprocals.data());
  }

  Entries operator()(__m512i symbols, std::size_t first, __mmask32 lanes) const {
    const __m512i base = ContextShape::first_entry(load_contexts(contexts_ + first, lanes));
    const __m512i index = _mm512_add_epi16(base, symbols);
    return {_mm512_permutexvar_epi16(index, entries_), _mm512_permutexvar_epi16(index, reciprocals_)};
  }

 private:
  const std::uint8_t* contexts_;
  __m512i entries_, reciprocals_;
};

// Digits of a state over an 8-bit frequency.
struct Divider {
  __m512i frequency, reciprocal;

  // value / frequency, below 256 by precondition; `value` becomes the rest. Estimate: value * floor(2^16 / f) / 2^16
  // lies less than one below the quotient.
  __m512i operator()(__m512i& value) const {
    const __m512i estimate = _mm512_mulhi_epu16(value, reciprocal);
    const __m512i rest = _mm512_sub_epi16(value, _mm512_mullo_epi16(estimate, frequency));
    // rest < 2 f, so the smaller of rest and rest - f as unsigned numbers is what is left.
    const __mmask32 is_short = _mm512_cmpge_epu16_mask(rest, frequency);
    value = _mm512_min_epu16(rest, _mm512_sub_epi16(rest, frequency));
    return _mm512_mask_add_epi16(estimate, is_short, estimate, _mm512_set1_epi16(1));
  }
};

// x' = 256 * floor(x / f) + x mod f + start, for x < 2^24 f.
inline LaneStates advance(const Entries& entries, const LaneStates& states) {
  const __m512i byte = _mm512_set1_epi16(0xFF);
  const Divider divide{_mm512_and_si512(entries.entry, byte), entries.reciprocal};
  const __m512i start = _mm512_srli_epi16(entries.entry, 8);
  __m512i value = states.high;
  const __m512i digit2 = divide(value);
  value = _mm512_shldi_epi16(value, states.low, 8);
  const __m512i digit1 = divide(value);
  value = _mm512_or_si512(_mm512_slli_epi16(value, 8), _mm512_and_si512(states.low, byte));
  const __m512i digit0 = divide(value);
  return {_mm512_add_epi16(_mm512_slli_epi16(digit0, 8), _mm512_add_epi16(value, start)),
          _mm512_or_si512(_mm512_slli_epi16(digit2, 8), digit1)};
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
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(symbols_ + first));
    const Entries entries = table_(_mm512_cvtepu8_epi16(bytes), first, first_lanes(kRansLanes));
    states_ = advance(entries, put(is_full(entries)));
  }

  // Symbols [first, first + count).
  void part(std::size_t first, std::size_t count) {
    const __mmask32 lanes = first_lanes(count);
    const __m512i symbols = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(lanes, symbols_ + first));
    const Entries entries = table_(symbols, first, lanes);
    const LaneStates next = advance(entries, put(is_full(entries) & lanes));
    states_ = {_mm512_mask_mov_epi16(states_.low, lanes, next.low),
               _mm512_mask_mov_epi16(states_.high, lanes, next.high)};
  }

  void close() {
    store_states(states_, writer_->states);
    writer_->cursor = cursor_;
  }

 private:
  // Lanes whose states are too large for another symbol.
  __mmask32 is_full(const Entries& entries) const {
    return _mm512_cmpge_epu16_mask(states_.high, _mm512_slli_epi16(entries.entry, 8));
  }
  // Moves the chosen lanes' lower halves out; returns the states without them.
  LaneStates put(__mmask32 is_full) {
    const std::size_t size = words_size(is_full);
    cursor_ -= size;
    _mm512_mask_storeu_epi16(cursor_, first_lanes(size / 2), _mm512_maskz_compress_epi16(is_full, states_.low));
    return {_mm512_mask_mov_epi16(states_.low, is_full, states_.high),
            _mm512_maskz_mov_epi16(static_cast<__mmask32>(~is_full), states_.high)};
  }

  RansWriter* writer_;
  Table table_;
  const std::uint8_t* symbols_;
  std::byte* cursor_;
  LaneStates states_;
};

// A check that ref makes: one word a symbol has room.
void check_room(const RansWriter& writer, std::size_t symbols) {
  SLUICE_ASSERT(static_cast<std::size_t>(writer.cursor - writer.first) >= 2 * symbols);
}

// The last, incomplete group; returns how many groups come before it.
template <typename Table>
std::size_t encode_rest(Run<Table>& run, std::size_t symbols) {
  const std::size_t groups = symbols / kRansLanes;
  const std::size_t count = symbols % kRansLanes;
  if (count != 0) run.part(groups * kRansLanes, count);
  return groups;
}

template <typename Table>
void encode_groups(Run<Table>& run, std::size_t groups) {
  while (groups > 0) run.whole(--groups * kRansLanes);
  run.close();
}

// In turns, then each alone; indices are constants for the reason given in rans_decode.cc.
template <typename Table, std::size_t... kIndex>
void encode_together(const RansEncodeRun* const* work, std::index_sequence<kIndex...>) {
  std::array<Run<Table>, sizeof...(kIndex)> runs{
      Run<Table>(*work[kIndex]->writer, Table(*work[kIndex]), work[kIndex]->symbols.data())...};
  std::array<std::size_t, sizeof...(kIndex)> groups{encode_rest(runs[kIndex], work[kIndex]->symbols.size())...};
  for (std::size_t shared = std::min({groups[kIndex]...}); shared > 0; --shared) {
    (runs[kIndex].whole(--groups[kIndex] * kRansLanes), ...);
  }
  (encode_groups(runs[kIndex], groups[kIndex]), ...);
}

// Calls visit<Table>() with the table for that many symbols.
template <typename Visit>
void with_table(std::size_t symbols, Visit visit) {
  if (symbols <= kNarrow) return visit.template operator()<SymbolTable<kNarrow>>();
  visit.template operator()<SymbolTable<kRansMaxSymbols>>();
}

void encode_any(const RansEncodeRun& work) {
  check_room(*work.writer, work.symbols.size());
  if (work.table->search.is_constant) return;  // all slots: no state changes
  with_table(work.table->lookup.symbols, [&]<typename Table>() {
    Run<Table> run(*work.writer, Table(work), work.symbols.data());
    encode_groups(run, encode_rest(run, work.symbols.size()));
  });
}

// kCount runs in turns.
template <std::size_t kCount>
void encode_group(const RansEncodeRun* const* work) {
  if constexpr (kCount == 1) return encode_any(*work[0]);
  std::size_t symbols = 0;
  for (std::size_t i = 0; i < kCount; ++i) symbols = std::max(symbols, work[i]->table->lookup.symbols);
  with_table(symbols, [&]<typename Table>() { encode_together<Table>(work, std::make_index_sequence<kCount>()); });
}

// Fewer than 2 kCount runs.
template <std::size_t kCount>
void encode_few(const RansEncodeRun* const* work, std::size_t count) {
  const std::size_t now = count >= kCount ? kCount : 0;
  if (now != 0) encode_group<kCount>(work);
  if constexpr (kCount > 1) encode_few<kCount / 2>(work + now, count - now);
}

}  // namespace

void rans_encode(RansWriter& writer, const RansTable& table, std::span<const std::uint8_t> symbols) {
  encode_any({.writer = &writer, .table = &table, .symbols = symbols});
}

void rans_encode_runs(std::span<const RansEncodeRun> runs) {
  std::array<const RansEncodeRun*, kStreams> waiting;
  std::size_t count = 0;
  for (const RansEncodeRun& run : runs) {
    check_room(*run.writer, run.symbols.size());
    if (run.table->search.is_constant) continue;
    waiting[count++] = &run;
    if (count < kStreams) continue;
    encode_group<kStreams>(waiting.data());
    count = 0;
  }
  encode_few<kStreams / 2>(waiting.data(), count);
}

void rans_encode_context(RansWriter& writer, std::span<const RansTable> tables, std::span<const std::uint8_t> contexts,
                         std::span<const std::uint8_t> symbols) {
  SLUICE_ASSERT(contexts.size() == symbols.size());
  check_room(writer, symbols.size());
  if (!ContextShape::holds(tables)) return ref_kernels().rans_encode_context(writer, tables, contexts, symbols);
  Run<ContextTable> run(writer, ContextTable(tables, contexts.data()), symbols.data());
  encode_groups(run, encode_rest(run, symbols.size()));
}

}  // namespace sluice::kernels::avx512
