// rANS decoding without gathers: slot to symbol by two permutations of 128 bytes, symbol to frequency and start by one
// of words, renormalisation by one expansion of words. Several streams take turns, group by group, so that each one's
// latency hides behind the others. Groups near the end of a stream's words load under a mask; the scalar coder takes
// over at the first word that is missing: results are those of ref, on damaged streams too.
#include <algorithm>
#include <array>
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

// Up to kSymbols (32 or 64) symbols. Tables stay where they are: what registers do not hold is an operand in memory.
template <std::size_t kSymbols>
class SlotSearch {
 public:
  explicit SlotSearch(const RansDecodeRun& run) : lookup_(&run.table->lookup) {}

  Found operator()(__m512i slots, std::size_t /*first*/, __mmask32 /*lanes*/) const {
    const __m512i lower = _mm512_permutex2var_epi8(quarter(0), slots, quarter(1));
    const __m512i upper = _mm512_permutex2var_epi8(quarter(2), slots, quarter(3));
    const __m512i symbol = _mm512_mask_blend_epi8(_mm512_movepi8_mask(slots), lower, upper);
    // Word permutations look at the low five or six bits of an index only.
    const std::uint16_t* const entry = lookup_->entry.data();
    if constexpr (kSymbols == kNarrow) return {symbol, _mm512_permutexvar_epi16(symbol, load_whole(entry))};
    return {symbol, _mm512_permutex2var_epi16(load_whole(entry), symbol, load_whole(entry + kNarrow))};
  }

 private:
  __m512i quarter(std::size_t index) const { return load_whole(lookup_->symbol_of_slot.data() + 64 * index); }
  const RansLookup* lookup_;
};

// A table per context: counts the starts that a slot has reached.
class ContextSearch {
 public:
  explicit ContextSearch(const RansDecodeRun& run) : lookup_(&run.by_context->lookup), contexts_(run.contexts) {}

  Found operator()(__m512i slots, std::size_t first, __mmask32 lanes) const {
    const __m512i contexts = load_contexts(contexts_ + first, lanes);
    const __m512i one = _mm512_set1_epi16(1);
    const auto has_reached = [&](std::size_t i) {
      const __m512i starts = load_whole(lookup_->starts[i].data());
      return _mm512_cmpge_epu16_mask(slots, _mm512_permutexvar_epi16(contexts, starts));
    };
    __m512i symbol = _mm512_maskz_mov_epi16(has_reached(0), one);
    for (std::size_t i = 1; i + 1 < kRansContextSymbols; ++i) {
      symbol = _mm512_mask_add_epi16(symbol, has_reached(i), symbol, one);
    }
    const __m512i index = _mm512_add_epi16(first_entry(contexts), symbol);
    return {symbol, _mm512_permutexvar_epi16(index, load_whole(lookup_->entry.data()))};
  }

 private:
  const RansContextLookup* lookup_;
  const std::uint8_t* contexts_;
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

// Symbols [first, ...) of a run and the runs behind it, by the scalar coder.
void hand_over(RansReader& reader, std::span<const RansDecodeRun> runs, std::size_t first) {
  RansDecodeRun rest = runs.front();
  rest.symbols = rest.symbols.subspan(first);
  if (rest.contexts != nullptr) rest.contexts += first;
  const std::array<RansDecodeStream, 2> parts{{{&reader, {&rest, 1}}, {&reader, runs.subspan(1)}}};
  ref_kernels().rans_decode_streams(parts);
}

// A run without choice leaves every state as it is.
bool is_constant(const RansDecodeRun& run) { return run.table != nullptr && run.table->search.is_constant; }

// What changes from group to group, apart from the rest so that it can be variables of a loop: in an object whose
// address is known it would be memory, stored and loaded in every group.
template <typename Search>
struct Position {
  Search search;
  const std::byte* cursor;
  std::uint8_t* symbols = nullptr;  // of the run
  std::size_t first = 0;            // of the run's symbols that are not decoded yet
  LaneStates states;

  // Precondition: 32 symbols are left, and as many words.
  void take_group() {
    const Step step = take(states, search, first, first_lanes(kRansLanes));
    states = refill(step.states, step.is_low, load_whole(cursor));
    cursor += words_size(step.is_low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols + first), to_bytes(step.symbols));
    first += kRansLanes;
  }
};

// A stream while its runs are decoded.
template <typename Search>
class Stream {
 public:
  // Precondition: there is a run.
  explicit Stream(const RansDecodeStream& stream)
      : reader_(stream.reader),
        runs_(stream.runs),
        at_{.search = Search(stream.runs.front()),
            .cursor = stream.reader->cursor,
            .states = load_states(stream.reader->states)} {}

  // Whole groups that surely have all their words.
  std::size_t sure() const {
    const auto words = static_cast<std::size_t>(reader_->end - at_.cursor) / kGroupBytes;
    return std::min((size_ - at_.first) / kRansLanes, words);
  }

  // To take groups from, sure() at most, and to hand back.
  const Position<Search>& position() const { return at_; }
  void set_position(const Position<Search>& at) { at_ = at; }

  // Goes on to where sure() is not 0; false when the stream is done: its reader is then up to date.
  bool advance() {
    while (sure() == 0) {
      if (at_.first < size_) {
        if (!careful(std::min(kRansLanes, size_ - at_.first))) return leave_to_ref();
      } else if (next_ == runs_.size()) {
        store();
        return false;
      } else if (!open(runs_[next_++])) {
        return leave_to_ref();
      }
    }
    return true;
  }

  void finish() {
    while (advance()) {
      Position<Search> at = at_;
      for (std::size_t groups = sure(); groups > 0; --groups) at.take_group();
      at_ = at;
    }
  }

 private:
  // What is left is damaged, and ref says how it ends.
  bool leave_to_ref() {
    store();
    hand_over(*reader_, runs_.subspan(next_ - 1), at_.first);
    next_ = runs_.size();
    at_.first = size_ = 0;
    at_.states = load_states(reader_->states);
    at_.cursor = reader_->cursor;
    return false;
  }

  // False when ref has to do the run: a constant one with damaged states.
  bool open(const RansDecodeRun& run) {
    at_.first = 0;
    size_ = run.symbols.size();
    if (is_constant(run)) {
      if (_mm512_cmpeq_epi16_mask(at_.states.high, _mm512_setzero_si512()) != 0) return false;
      if (size_ != 0) std::memset(run.symbols.data(), run.table->search.first, size_);
      size_ = 0;
      return true;
    }
    at_.search = Search(run);
    at_.symbols = run.symbols.data();
    return true;
  }

  // Any number of lanes, with a check of the words. False when they run out: the group is then still to be done.
  bool careful(std::size_t count) {
    const __mmask32 lanes = first_lanes(count);
    Step step = take(at_.states, at_.search, at_.first, lanes);
    step.is_low &= lanes;
    const std::size_t size = words_size(step.is_low);
    if (size > static_cast<std::size_t>(reader_->end - at_.cursor)) return false;
    const __m512i words = _mm512_maskz_loadu_epi16(first_lanes(size / 2), at_.cursor);
    const LaneStates next = refill(step.states, step.is_low, words);
    at_.states = {_mm512_mask_mov_epi16(at_.states.low, lanes, next.low),
                  _mm512_mask_mov_epi16(at_.states.high, lanes, next.high)};
    at_.cursor += size;
    _mm256_mask_storeu_epi8(at_.symbols + at_.first, lanes, to_bytes(step.symbols));
    at_.first += count;
    return true;
  }

  void store() {
    store_states(at_.states, reader_->states);
    reader_->cursor = at_.cursor;
  }

  RansReader* reader_;
  std::span<const RansDecodeRun> runs_;
  std::size_t next_ = 0;  // of runs_
  std::size_t size_ = 0;  // symbols of the run
  Position<Search> at_;
};

// Streams in turns until the first is done, then each alone. Indices are constants, so that positions are registers.
template <typename Search, std::size_t... kIndex>
void decode_together(const RansDecodeStream* work, std::index_sequence<kIndex...>) {
  std::array<Stream<Search>, sizeof...(kIndex)> streams{Stream<Search>(work[kIndex])...};
  while ((streams[kIndex].advance() & ...)) {
    std::array<Position<Search>, sizeof...(kIndex)> at{streams[kIndex].position()...};
    for (std::size_t groups = std::min({streams[kIndex].sure()...}); groups > 0; --groups) {
      (at[kIndex].take_group(), ...);
    }
    (streams[kIndex].set_position(at[kIndex]), ...);
  }
  (streams[kIndex].finish(), ...);
}

// Fewer than 2 kCount streams, none without runs.
template <typename Search, std::size_t kCount>
void decode_few(const RansDecodeStream* work, std::size_t count) {
  const std::size_t now = count >= kCount ? kCount : 0;
  if (now != 0) decode_together<Search>(work, std::make_index_sequence<kCount>());
  if constexpr (kCount > 1) decode_few<Search, kCount / 2>(work + now, count - now);
}

void decode_some(std::span<const RansDecodeStream> streams) {
  constexpr std::size_t kMost = kStreams;
  const auto with = [&]<typename Search>() { decode_few<Search, kMost>(streams.data(), streams.size()); };
  std::size_t symbols = 0;
  for (const RansDecodeStream& stream : streams) {
    for (const RansDecodeRun& run : stream.runs) {
      if (run.by_context != nullptr) {
        if (run.by_context->lookup.is_complete) continue;
        return ref_kernels().rans_decode_streams(streams);
      }
      symbols = std::max(symbols, run.table->lookup.symbols);
    }
  }
  if (symbols == 0) return with.template operator()<ContextSearch>();
  if (symbols <= kNarrow) return with.template operator()<SlotSearch<kNarrow>>();
  with.template operator()<SlotSearch<kRansMaxSymbols>>();
}

}  // namespace

void rans_decode(RansReader& reader, const RansTable& table, std::span<std::uint8_t> symbols) {
  const RansDecodeRun run{.table = &table, .symbols = symbols};
  const RansDecodeStream stream{&reader, {&run, 1}};
  decode_some({&stream, 1});
}

void rans_decode_streams(std::span<const RansDecodeStream> streams) {
  std::array<RansDecodeStream, kStreams> some;
  std::size_t count = 0;
  for (const RansDecodeStream& stream : streams) {
    if (stream.runs.empty()) continue;
    some[count++] = stream;
    if (count < kStreams) continue;
    decode_some(some);
    count = 0;
  }
  if (count != 0) decode_some(std::span(some).first(count));
}

}  // namespace sluice::kernels::avx512
