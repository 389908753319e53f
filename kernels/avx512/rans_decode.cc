// rANS decoding without gathers: slot to symbol by two permutations of 128 bytes, symbol to frequency and start by one
// of words, renormalisation by one expansion of words. Several streams take turns, group by group, so that each one's
// latency hides behind the others. Groups near the end of a stream's words load under a mask; the scalar coder takes
// over at the first word that is missing: results are those of ref, on damaged streams too.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "kernels/avx512/kernels.h"
#include "kernels/avx512/rans_lanes.h"

namespace sluice::kernels::avx512 {
namespace {

constexpr std::size_t kGroupBytes = 2 * kRansLanes;
constexpr std::size_t kStreams = 8;  // at most in flight: more are no faster
constexpr std::size_t kNarrow = 32;  // symbols whose entries fit one register

// What a group's slots turned out to be, one word a lane; upper bytes of symbols hold anything.
struct Found {
  __m512i symbol;
  __m512i entry;  // frequency | start << 8
};

// Up to kSymbols (32 or 64) symbols.
template <std::size_t kSymbols>
class SlotSearch {
 public:
  explicit SlotSearch(const RansDecodeRun& run) : SlotSearch(run.table->lookup) {}

  Found operator()(__m512i slots, std::size_t /*first*/, __mmask32 /*lanes*/) const {
    const __m512i lower = _mm512_permutex2var_epi8(symbols_[0], slots, symbols_[1]);
    const __m512i upper = _mm512_permutex2var_epi8(symbols_[2], slots, symbols_[3]);
    const __m512i symbol = _mm512_mask_blend_epi8(_mm512_movepi8_mask(slots), lower, upper);
    // Word permutations look at the low five or six bits of an index only.
    if constexpr (kSymbols == kNarrow) return {symbol, _mm512_permutexvar_epi16(symbol, entries_[0])};
    return {symbol, _mm512_permutex2var_epi16(entries_[0], symbol, entries_[1])};
  }

 private:
  explicit SlotSearch(const RansLookup& lookup) {
    for (std::size_t i = 0; i < 4; ++i) symbols_[i] = load_whole(lookup.symbol_of_slot.data() + 64 * i);
    for (std::size_t i = 0; i < kSymbols / kNarrow; ++i) entries_[i] = load_whole(lookup.entry.data() + kNarrow * i);
  }
  __m512i symbols_[4];
  __m512i entries_[kSymbols / kNarrow];
};

// A table per context: counts the starts that a slot has reached.
class ContextSearch {
 public:
  ContextSearch(std::span<const RansTable> tables, const std::uint8_t* contexts) : contexts_(contexts) {
    constexpr std::uint16_t kNever = kRansSlots;
    alignas(64) std::array<std::array<std::uint16_t, kRansLanes>, ContextShape::kSymbols> rows{};
    for (std::size_t context = 0; context < tables.size(); ++context) {
      const RansLookup& lookup = tables[context].lookup;
      for (std::size_t symbol = 0; symbol < ContextShape::kSymbols; ++symbol) {
        const std::uint16_t entry = lookup.entry[symbol];
        const bool exists = symbol < lookup.symbols;
        if (symbol != 0) rows[symbol - 1][context] = exists ? static_cast<std::uint16_t>(entry >> 8U) : kNever;
        rows[ContextShape::kSymbols - 1][context * ContextShape::kSymbols + symbol] = entry;
      }
    }
    // A symbol that does not occur starts where the next one does.
    for (std::size_t context = 0; context < tables.size(); ++context) {
      for (std::size_t symbol = ContextShape::kSymbols - 1; symbol-- > 1;) {
        const RansLookup& lookup = tables[context].lookup;
        if (symbol < lookup.symbols && lookup.reciprocal[symbol] == 0)
          rows[symbol - 1][context] = rows[symbol][context];
      }
    }
    for (std::size_t i = 0; i + 1 < ContextShape::kSymbols; ++i) starts_[i] = load_whole(rows[i].data());
    entries_ = load_whole(rows[ContextShape::kSymbols - 1].data());
  }

  Found operator()(__m512i slots, std::size_t first, __mmask32 lanes) const {
    const __m512i contexts = load_contexts(contexts_ + first, lanes);
    const __m512i base = ContextShape::first_entry(contexts);
    const __m512i one = _mm512_set1_epi16(1);
    const auto has_reached = [&](std::size_t i) {
      return _mm512_cmpge_epu16_mask(slots, _mm512_permutexvar_epi16(contexts, starts_[i]));
    };
    __m512i symbol = _mm512_maskz_mov_epi16(has_reached(0), one);
    for (std::size_t i = 1; i + 1 < ContextShape::kSymbols; ++i) {
      symbol = _mm512_mask_add_epi16(symbol, has_reached(i), symbol, one);
    }
    return {symbol, _mm512_permutexvar_epi16(_mm512_add_epi16(base, symbol), entries_)};
  }

 private:
  const std::uint8_t* contexts_;
  __m512i starts_[ContextShape::kSymbols - 1];
  __m512i entries_;
};

// One group: the states before words are taken, which lanes take one, and symbols.
struct Step {
  LaneStates states;
  __mmask32 is_low;
  __m512i symbols;
};

template <typename Search>
inline Step take(const LaneStates& from, const Search& search, std::size_t first, __mmask32 lanes) {
  const __m512i slots = _mm512_and_si512(from.low, _mm512_set1_epi16(0xFF));
  const Found found = search(slots, first, lanes);
  const __m512i times256 = _mm512_slli_epi16(found.entry, 8);
  const __m512i offset = _mm512_sub_epi16(slots, _mm512_srli_epi16(found.entry, 8));
  // f * (x >> 8) + offset, with x >> 8 = high * 256 + middle byte; the middle product and the offset fit 16 bits.
  const __m512i middle = _mm512_and_si512(from.low, _mm512_set1_epi16(static_cast<short>(0xFF00)));
  const __m512i sum = _mm512_add_epi16(_mm512_mulhi_epu16(times256, middle), offset);
  const __m512i low = _mm512_add_epi16(_mm512_mullo_epi16(times256, from.high), sum);
  const __m512i upper = _mm512_mulhi_epu16(times256, from.high);
  const __mmask32 carry = _mm512_cmplt_epu16_mask(low, sum);
  const __m512i high = _mm512_mask_add_epi16(upper, carry, upper, _mm512_set1_epi16(1));
  return {{low, high}, _mm512_testn_epi16_mask(high, high), found.symbol};
}

// The states with `words` in the low lanes.
inline LaneStates refill(const LaneStates& states, __mmask32 is_low, __m512i words) {
  return {_mm512_mask_expand_epi16(states.low, is_low, words), _mm512_mask_mov_epi16(states.high, is_low, states.low)};
}

// A stream while one of its runs is decoded.
template <typename Search>
class Run {
 public:
  Run(RansReader& reader, const Search& search, std::uint8_t* symbols)
      : reader_(&reader),
        search_(search),
        cursor_(reader.cursor),
        symbols_(symbols),
        states_(load_states(reader.states)) {}

  // Groups that surely have all their words.
  std::size_t sure_groups() const { return static_cast<std::size_t>(reader_->end - cursor_) / kGroupBytes; }

  // Precondition: a sure group.
  void whole(std::size_t first) {
    const Step step = take(states_, search_, first, first_lanes(kRansLanes));
    states_ = refill(step.states, step.is_low, load_whole(cursor_));
    cursor_ += words_size(step.is_low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols_ + first), _mm512_cvtepi16_epi8(step.symbols));
  }

  // Any number of lanes, with a check of the words. False when they run out: the group is then still to be done.
  bool careful(std::size_t first, std::size_t count) {
    const __mmask32 lanes = first_lanes(count);
    Step step = take(states_, search_, first, lanes);
    step.is_low &= lanes;
    const std::size_t size = words_size(step.is_low);
    if (size > static_cast<std::size_t>(reader_->end - cursor_)) return false;
    const __m512i words = _mm512_maskz_loadu_epi16(first_lanes(size / 2), cursor_);
    const LaneStates next = refill(step.states, step.is_low, words);
    states_ = {_mm512_mask_mov_epi16(states_.low, lanes, next.low),
               _mm512_mask_mov_epi16(states_.high, lanes, next.high)};
    cursor_ += size;
    _mm256_mask_storeu_epi8(symbols_ + first, lanes, _mm512_cvtepi16_epi8(step.symbols));
    return true;
  }

  void close() {
    store_states(states_, reader_->states);
    reader_->cursor = cursor_;
  }

 private:
  RansReader* reader_;
  Search search_;
  const std::byte* cursor_;
  std::uint8_t* symbols_;
  LaneStates states_;
};

// Decodes [first, count) of a run as far as its words reach; returns where the scalar coder has to go on.
template <typename Search>
std::size_t finish(Run<Search>& run, std::size_t first, std::size_t count) {
  while (first < count) {
    const std::size_t sure = std::min((count - first) / kRansLanes, run.sure_groups());
    for (const std::size_t end = first + sure * kRansLanes; first < end; first += kRansLanes) run.whole(first);
    if (first == count || !run.careful(first, std::min(kRansLanes, count - first))) break;
    first += std::min(kRansLanes, count - first);
  }
  run.close();
  return first;
}

template <typename Search>
void decode_one(const RansDecodeRun& work) {
  Run<Search> run(*work.reader, Search(work), work.symbols.data());
  const std::size_t done = finish(run, 0, work.symbols.size());
  if (done < work.symbols.size()) ref_kernels().rans_decode(*work.reader, *work.table, work.symbols.subspan(done));
}

// Runs in turns over the groups that all of them have, then each alone. Indices are constants so that a stream's states
// are variables of this function: in an array that is indexed they would be memory, stored and loaded in every group.
template <typename Search, std::size_t... kIndex>
void decode_together(const RansDecodeRun* const* work, std::index_sequence<kIndex...>) {
  std::array<Run<Search>, sizeof...(kIndex)> runs{
      Run<Search>(*work[kIndex]->reader, Search(*work[kIndex]), work[kIndex]->symbols.data())...};
  const std::size_t shared = std::min({work[kIndex]->symbols.size()...}) / kRansLanes;
  std::size_t done = 0;
  while (const std::size_t sure = std::min({shared - done, runs[kIndex].sure_groups()...})) {
    for (const std::size_t end = done + sure; done < end; ++done) (runs[kIndex].whole(done * kRansLanes), ...);
  }
  const auto end = [&](Run<Search>& run, const RansDecodeRun& of) {
    const std::size_t stop = finish(run, done * kRansLanes, of.symbols.size());
    if (stop < of.symbols.size()) ref_kernels().rans_decode(*of.reader, *of.table, of.symbols.subspan(stop));
  };
  (end(runs[kIndex], *work[kIndex]), ...);
}

// Calls visit<Search>() with the search for that many symbols.
template <typename Visit>
void with_search(std::size_t symbols, Visit visit) {
  if (symbols <= kNarrow) return visit.template operator()<SlotSearch<kNarrow>>();
  visit.template operator()<SlotSearch<kRansMaxSymbols>>();
}

void decode_any(const RansDecodeRun& run) {
  if (!run.table->search.is_constant) {
    return with_search(run.table->lookup.symbols, [&]<typename Search>() { decode_one<Search>(run); });
  }
  const std::array<std::uint32_t, kRansLanes>& states = run.reader->states;
  const bool in_range = std::all_of(states.begin(), states.end(), [](std::uint32_t x) { return x >= kRansStart; });
  if (!in_range) return ref_kernels().rans_decode(*run.reader, *run.table, run.symbols);
  // A symbol with all slots leaves every state as it is.
  if (!run.symbols.empty()) std::memset(run.symbols.data(), run.table->search.first, run.symbols.size());
}

// kCount runs in turns.
template <std::size_t kCount>
void decode_group(const RansDecodeRun* const* work) {
  if constexpr (kCount == 1) return decode_any(*work[0]);
  std::size_t symbols = 0;
  for (std::size_t i = 0; i < kCount; ++i) symbols = std::max(symbols, work[i]->table->lookup.symbols);
  with_search(symbols, [&]<typename Search>() { decode_together<Search>(work, std::make_index_sequence<kCount>()); });
}

// Fewer than 2 kCount runs.
template <std::size_t kCount>
void decode_few(const RansDecodeRun* const* work, std::size_t count) {
  const std::size_t now = count >= kCount ? kCount : 0;
  if (now != 0) decode_group<kCount>(work);
  if constexpr (kCount > 1) decode_few<kCount / 2>(work + now, count - now);
}

}  // namespace

void rans_decode(RansReader& reader, const RansTable& table, std::span<std::uint8_t> symbols) {
  decode_any({.reader = &reader, .table = &table, .symbols = symbols});
}

void rans_decode_runs(std::span<const RansDecodeRun> runs) {
  std::array<const RansDecodeRun*, kStreams> waiting;
  std::size_t count = 0;
  for (const RansDecodeRun& run : runs) {
    if (run.table->search.is_constant) {
      decode_any(run);
      continue;
    }
    waiting[count++] = &run;
    if (count < kStreams) continue;
    decode_group<kStreams>(waiting.data());
    count = 0;
  }
  decode_few<kStreams / 2>(waiting.data(), count);
}

void rans_decode_context(RansReader& reader, std::span<const RansTable> tables, std::span<const std::uint8_t> contexts,
                         std::span<std::uint8_t> symbols) {
  SLUICE_ASSERT(contexts.size() == symbols.size());
  std::size_t done = 0;
  if (ContextShape::holds(tables)) {
    Run<ContextSearch> run(reader, ContextSearch(tables, contexts.data()), symbols.data());
    done = finish(run, 0, symbols.size());
  }
  if (done == symbols.size()) return;
  ref_kernels().rans_decode_context(reader, tables, contexts.subspan(done), symbols.subspan(done));
}

}  // namespace sluice::kernels::avx512
