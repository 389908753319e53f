// rANS encoding without gathers: frequency, start and reciprocal of 32 symbols by word permutations; the state is
// divided digit by digit, 16 bits by 8, with an estimate that is at most one too small. Words leave by a compression in
// registers and a masked store (a compression into memory is microcode on some cores). Streams take turns as in
// decoding.
#include <algorithm>
#include <array>
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
  explicit SymbolTable(const RansEncodeRun& run) : lookup_(&run.table->lookup) {}

  Entries operator()(__m512i symbols, std::size_t /*first*/, __mmask32 /*lanes*/) const {
    const auto find = [&](const std::uint16_t* table) {
      if constexpr (kSymbols == kNarrow) return _mm512_permutexvar_epi16(symbols, load_whole(table));
      return _mm512_permutex2var_epi16(load_whole(table), symbols, load_whole(table + kNarrow));
    };
    return {find(lookup_->entry.data()), find(lookup_->reciprocal.data())};
  }

 private:
  const RansLookup* lookup_;
};

// A table per context.
class ContextTable {
 public:
  explicit ContextTable(const RansEncodeRun& run) : lookup_(&run.by_context->lookup), contexts_(run.contexts) {}

  Entries operator()(__m512i symbols, std::size_t first, __mmask32 lanes) const {
    const __m512i index = _mm512_add_epi16(first_entry(load_contexts(contexts_ + first, lanes)), symbols);
    return {_mm512_permutexvar_epi16(index, load_whole(lookup_->entry.data())),
            _mm512_permutexvar_epi16(index, load_whole(lookup_->reciprocal.data()))};
  }

 private:
  const RansContextLookup* lookup_;
  const std::uint8_t* contexts_;
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
inline LaneStates advance_states(const Entries& entries, const LaneStates& states) {
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

// What changes from group to group, as in rans_decode.cc.
template <typename Table>
struct Position {
  Table table;
  const std::uint8_t* symbols = nullptr;  // of the run
  std::size_t groups = 0;                 // whole ones of the run that are not encoded yet
  std::byte* cursor;
  LaneStates states;

  // Precondition: groups is not 0.
  void put_group() {
    const std::size_t first = --groups * kRansLanes;
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(symbols + first));
    const Entries entries = table(_mm512_cvtepu8_epi16(bytes), first, first_lanes(kRansLanes));
    states = advance_states(entries, put_words(is_full(entries)));
  }

  // Symbols [first, first + count).
  void put_part(std::size_t first, std::size_t count) {
    const __mmask32 lanes = first_lanes(count);
    const __m512i group = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(lanes, symbols + first));
    const Entries entries = table(group, first, lanes);
    const LaneStates next = advance_states(entries, put_words(is_full(entries) & lanes));
    states = {_mm512_mask_mov_epi16(states.low, lanes, next.low), _mm512_mask_mov_epi16(states.high, lanes, next.high)};
  }

  // Lanes whose states are too large for another symbol.
  __mmask32 is_full(const Entries& entries) const {
    return _mm512_cmpge_epu16_mask(states.high, _mm512_slli_epi16(entries.entry, 8));
  }
  // Moves the chosen lanes' lower halves out; returns the states without them.
  LaneStates put_words(__mmask32 chosen) {
    const std::size_t size = words_size(chosen);
    cursor -= size;
    _mm512_mask_storeu_epi16(cursor, first_lanes(size / 2), _mm512_maskz_compress_epi16(chosen, states.low));
    return {_mm512_mask_mov_epi16(states.low, chosen, states.high),
            _mm512_maskz_mov_epi16(static_cast<__mmask32>(~chosen), states.high)};
  }
};

// A stream while its runs are encoded, from the last symbol of the last one to the first.
template <typename Table>
class Stream {
 public:
  // Precondition: there is a run.
  explicit Stream(const RansEncodeStream& stream)
      : writer_(stream.writer),
        runs_(stream.runs),
        at_{.table = Table(stream.runs.back()),
            .cursor = stream.writer->cursor,
            .states = load_states(stream.writer->states)} {}

  // To put groups, and to hand back.
  const Position<Table>& position() const { return at_; }
  void set_position(const Position<Table>& at) { at_ = at; }

  // Goes on to a run with whole groups; false when the stream is done: its writer is then up to date.
  bool advance() {
    while (at_.groups == 0) {
      if (runs_.empty()) {
        store_states(at_.states, writer_->states);
        writer_->cursor = at_.cursor;
        return false;
      }
      open(runs_.back());
      runs_ = runs_.first(runs_.size() - 1);
    }
    return true;
  }

  void finish() {
    while (advance()) {
      Position<Table> at = at_;
      while (at.groups > 0) at.put_group();
      at_ = at;
    }
  }

 private:
  // Starts a run with its last, incomplete group.
  void open(const RansEncodeRun& run) {
    const std::size_t symbols = run.symbols.size();
    SLUICE_ASSERT(static_cast<std::size_t>(at_.cursor - writer_->first) >= 2 * symbols);
    if (run.table != nullptr && run.table->search.is_constant) return;  // all slots: no state changes
    at_.table = Table(run);
    at_.symbols = run.symbols.data();
    at_.groups = symbols / kRansLanes;
    if (symbols % kRansLanes != 0) at_.put_part(at_.groups * kRansLanes, symbols % kRansLanes);
  }

  RansWriter* writer_;
  std::span<const RansEncodeRun> runs_;  // not opened yet
  Position<Table> at_;
};

// In turns until the first is done, then each alone; indices are constants for the reason given in rans_decode.cc.
template <typename Table, std::size_t... kIndex>
void encode_together(const RansEncodeStream* work, std::index_sequence<kIndex...>) {
  std::array<Stream<Table>, sizeof...(kIndex)> streams{Stream<Table>(work[kIndex])...};
  while ((streams[kIndex].advance() & ...)) {
    std::array<Position<Table>, sizeof...(kIndex)> at{streams[kIndex].position()...};
    for (std::size_t groups = std::min({at[kIndex].groups...}); groups > 0; --groups) (at[kIndex].put_group(), ...);
    (streams[kIndex].set_position(at[kIndex]), ...);
  }
  (streams[kIndex].finish(), ...);
}

// Fewer than 2 kCount streams, none without runs.
template <typename Table, std::size_t kCount>
void encode_few(const RansEncodeStream* work, std::size_t count) {
  const std::size_t now = count >= kCount ? kCount : 0;
  if (now != 0) encode_together<Table>(work, std::make_index_sequence<kCount>());
  if constexpr (kCount > 1) encode_few<Table, kCount / 2>(work + now, count - now);
}

void encode_some(std::span<const RansEncodeStream> streams) {
  const auto with = [&]<typename Table>() { encode_few<Table, kStreams>(streams.data(), streams.size()); };
  std::size_t symbols = 0;
  for (const RansEncodeStream& stream : streams) {
    for (const RansEncodeRun& run : stream.runs) {
      if (run.by_context != nullptr) {
        if (run.by_context->lookup.is_complete) continue;
        return ref_kernels().rans_encode_streams(streams);
      }
      symbols = std::max(symbols, run.table->lookup.symbols);
    }
  }
  if (symbols == 0) return with.template operator()<ContextTable>();
  if (symbols <= kNarrow) return with.template operator()<SymbolTable<kNarrow>>();
  with.template operator()<SymbolTable<kRansMaxSymbols>>();
}

}  // namespace

void rans_encode(RansWriter& writer, const RansTable& table, std::span<const std::uint8_t> symbols) {
  const RansEncodeRun run{.table = &table, .symbols = symbols};
  const RansEncodeStream stream{&writer, {&run, 1}};
  encode_some({&stream, 1});
}

void rans_encode_streams(std::span<const RansEncodeStream> streams) {
  std::array<RansEncodeStream, kStreams> some;
  std::size_t count = 0;
  for (const RansEncodeStream& stream : streams) {
    if (stream.runs.empty()) continue;
    some[count++] = stream;
    if (count < kStreams) continue;
    encode_some(some);
    count = 0;
  }
  if (count != 0) encode_some(std::span(some).first(count));
}

}  // namespace sluice::kernels::avx512
