// rANS decoding in registers: slots are searched in a tree of bytes by shuffles, for 32 lanes at once; no table in
// memory is walked. Up to four streams take turns, group by group, so that each one's latency hides behind the others.
// Near the end of a stream's words groups run over a padded copy, and the scalar coder takes over at the first word
// that is missing: results are those of ref, on damaged streams too.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "kernels/avx2/kernels.h"
#include "kernels/avx2/rans_lanes.h"

namespace sluice::kernels::avx2 {
namespace {

constexpr std::size_t kGroupBytes = 2 * kRansLanes;
constexpr std::size_t kStreams = 4;

// What a group's slots turned out to be, one byte a lane in lane order.
struct Found {
  __m256i symbol, frequency, offset;
};

// Walks a tree of kDepth <= 4 that fits one register.
template <unsigned kDepth>
class SmallSearch {
 public:
  explicit SmallSearch(const RansTable& table)
      : tree_(twice(table.search.small_trees[kDepth - 2].data())),
        frequency_(twice(table.search.frequency.data())),
        start_(twice(table.search.start.data())),
        lowest_(_mm256_set1_epi8(static_cast<char>(table.search.first))) {}

  Found operator()(__m256i slots, std::size_t /*first*/) const {
    const __m256i turned = _mm256_xor_si256(slots, _mm256_set1_epi8(-128));
    __m256i node = _mm256_set1_epi8(1);
    for (unsigned level = 0; level < kDepth; ++level) {
      const __m256i is_right = _mm256_cmpgt_epi8(turned, _mm256_shuffle_epi8(tree_, node));
      node = _mm256_sub_epi8(_mm256_add_epi8(node, node), is_right);
    }
    const __m256i entry = _mm256_and_si256(node, _mm256_set1_epi8((1 << kDepth) - 1));
    return {_mm256_add_epi8(entry, lowest_), _mm256_shuffle_epi8(frequency_, entry),
            _mm256_sub_epi8(slots, _mm256_shuffle_epi8(start_, entry))};
  }

 private:
  __m256i tree_, frequency_, start_, lowest_;
};

// Walks the tree of depth 5 or 6, for up to 32 or 64 entries.
template <unsigned kDepth>
class LargeSearch {
 public:
  explicit LargeSearch(const RansTable& table) : search_(&table.search) {}

  Found operator()(__m256i slots, std::size_t /*first*/) const {
    constexpr std::size_t kEntries = std::size_t{1} << kDepth;
    const __m256i turned = _mm256_xor_si256(slots, _mm256_set1_epi8(-128));
    const std::uint8_t* const tree = kDepth == 5 ? search_->middle_tree.data() : search_->tree.data();
    __m256i node = _mm256_set1_epi8(1);
    const auto step = [&](__m256i pivot) {
      node = _mm256_sub_epi8(_mm256_add_epi8(node, node), _mm256_cmpgt_epi8(turned, pivot));
    };
    const __m256i top = twice(tree);
    for (unsigned level = 0; level < RansSearch::kSmallDepth; ++level) step(_mm256_shuffle_epi8(top, node));
    step(look_up<16>(tree + 16, node));
    if constexpr (kDepth == 6) step(look_up<32>(tree + 32, node));
    const __m256i entry = _mm256_and_si256(node, _mm256_set1_epi8(kEntries - 1));
    return {_mm256_add_epi8(entry, _mm256_set1_epi8(static_cast<char>(search_->first))),
            look_up<kEntries>(search_->frequency.data(), entry),
            _mm256_sub_epi8(slots, look_up<kEntries>(search_->start.data(), entry))};
  }

 private:
  const RansSearch* search_;
};

static_assert(kRansContextSymbols == 4 && kRansContexts * kRansContextSymbols <= 16);

// One table a context: all distributions side by side in one register.
class ContextSearch {
 public:
  ContextSearch(const RansContexts& by_context, const std::uint8_t* contexts) : contexts_(contexts) {
    alignas(16) std::array<std::array<std::uint8_t, 16>, kRansContextSymbols + 1> rows{};
    for (std::size_t context = 0; context < kRansContexts; ++context) {
      const RansSearch& search = by_context.tables[context].search;
      for (std::size_t symbol = 0; symbol < kRansContextSymbols; ++symbol) {
        if (symbol != 0) rows[symbol - 1][context] = search.before[symbol];
        rows[kRansContextSymbols - 1][context * kRansContextSymbols + symbol] = search.frequency[symbol];
        rows[kRansContextSymbols][context * kRansContextSymbols + symbol] = search.start[symbol];
      }
    }
    for (std::size_t i = 0; i + 1 < kRansContextSymbols; ++i) pivots_[i] = twice(rows[i].data());
    frequency_ = twice(rows[kRansContextSymbols - 1].data());
    start_ = twice(rows[kRansContextSymbols].data());
  }

  static bool can_walk(const RansContexts& by_context) {
    return std::all_of(by_context.tables.begin(), by_context.tables.end(),
                       [](const RansTable& table) { return !table.search.is_constant && table.search.first == 0; });
  }

  Found operator()(__m256i slots, std::size_t first) const {
    const __m256i context = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(contexts_ + first));
    const __m256i turned = _mm256_xor_si256(slots, _mm256_set1_epi8(-128));
    const auto above = [&](std::size_t i) {
      return _mm256_cmpgt_epi8(turned, _mm256_shuffle_epi8(pivots_[i], context));
    };
    const __m256i count = _mm256_add_epi8(_mm256_add_epi8(above(0), above(1)), above(2));
    const __m256i symbol = _mm256_sub_epi8(_mm256_setzero_si256(), count);
    const __m256i entry = _mm256_add_epi8(_mm256_slli_epi16(context, 2), symbol);
    return {symbol, _mm256_shuffle_epi8(frequency_, entry), _mm256_sub_epi8(slots, _mm256_shuffle_epi8(start_, entry))};
  }

 private:
  const std::uint8_t* contexts_;
  __m256i pivots_[kRansContextSymbols - 1];
  __m256i frequency_, start_;
};

// One group: the states after it, and which lanes take a word.
struct Step {
  LaneStates states;
  Pair is_low;
  __m256i symbols;
};

template <typename Search>
inline Step take(const LaneStates& from, const Search& search, std::size_t first) {
  const __m256i byte = _mm256_set1_epi16(0xFF);
  const __m256i slots = _mm256_packus_epi16(_mm256_and_si256(from.low.a, byte), _mm256_and_si256(from.low.b, byte));
  const Found found = search(slots, first);
  const Pair frequency = as_low_bytes(found.frequency), times256 = as_high_bytes(found.frequency);
  const Pair offset = as_low_bytes(found.offset);
  // f * (x >> 8) + offset, with x >> 8 = high * 256 + middle byte; the second product and the offset fit 16 bits.
  const auto advance = [](__m256i f, __m256i f256, __m256i add, __m256i& low, __m256i& high) {
    const __m256i sum = _mm256_add_epi16(_mm256_mullo_epi16(f, _mm256_srli_epi16(low, 8)), add);
    low = _mm256_add_epi16(_mm256_mullo_epi16(f256, high), sum);
    const __m256i no_carry = _mm256_cmpeq_epi16(_mm256_max_epu16(low, sum), low);
    high = _mm256_add_epi16(_mm256_mulhi_epu16(f256, high), _mm256_add_epi16(no_carry, _mm256_set1_epi16(1)));
  };
  Step step{from, {}, found.symbol};
  advance(frequency.a, times256.a, offset.a, step.states.low.a, step.states.high.a);
  advance(frequency.b, times256.b, offset.b, step.states.low.b, step.states.high.b);
  const __m256i zero = _mm256_setzero_si256();
  step.is_low = {_mm256_cmpeq_epi16(step.states.high.a, zero), _mm256_cmpeq_epi16(step.states.high.b, zero)};
  return step;
}

// Refills the low lanes; returns the bytes that were used.
inline std::size_t refill(Step& step, std::uint32_t mask, const std::byte* words) {
  const QuarterOffsets offsets(mask);
  const Pair next = spread_words(words, mask, offsets);
  step.states.high = blend(step.states.high, step.states.low, step.is_low);
  step.states.low = blend(step.states.low, next, step.is_low);
  return offsets.at[4];
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

  // False when fewer than a group's words are left: then the caller goes on with careful().
  bool whole(std::size_t first) {
    if (reader_->end - cursor_ < static_cast<std::ptrdiff_t>(kGroupBytes)) return false;
    Step step = take(states_, search_, first);
    cursor_ += refill(step, lane_bits(step.is_low), cursor_);
    states_ = step.states;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols_ + first), step.symbols);
    return true;
  }

  // Any number of lanes, with a check of the words. False when they run out: the group is then still to be done.
  bool careful(std::size_t first, std::size_t count) {
    Step step = take(states_, search_, first);
    const Pair lanes = first_lanes(count);
    step.is_low = {_mm256_and_si256(step.is_low.a, lanes.a), _mm256_and_si256(step.is_low.b, lanes.b)};
    const std::uint32_t mask = lane_bits(step.is_low);
    const std::size_t left = static_cast<std::size_t>(reader_->end - cursor_);
    if (QuarterOffsets::count(mask) > left) return false;
    std::byte words[kGroupBytes] = {};
    if (left != 0) std::memcpy(words, cursor_, std::min(left, kGroupBytes));
    cursor_ += refill(step, mask, words);
    states_ = {blend(states_.low, step.states.low, lanes), blend(states_.high, step.states.high, lanes)};
    alignas(32) std::uint8_t symbols[kRansLanes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(symbols), step.symbols);
    std::memcpy(symbols_ + first, symbols, count);
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
  for (; first < count; first += kRansLanes) {
    const std::size_t group = std::min(kRansLanes, count - first);
    if (group == kRansLanes && run.whole(first)) continue;
    if (!run.careful(first, group)) break;
  }
  run.close();
  return std::min(first, count);
}

// One run of a stream with a table of its own.
struct Work {
  RansReader* reader = nullptr;
  const RansTable* table = nullptr;
  std::span<std::uint8_t> symbols;
};

template <typename Search>
void decode_one(const Work& work) {
  Run<Search> run(*work.reader, Search(*work.table), work.symbols.data());
  const std::size_t done = finish(run, 0, work.symbols.size());
  if (done < work.symbols.size()) {
    ref_kernels().rans_decode(*work.reader, *work.table, work.symbols.subspan(done));
  }
}

// Runs in turns over the groups that all of them have, then each alone. Indices are constants so that a stream's states
// are variables of this function: in an array that is indexed they would be memory, stored and loaded in every group.
template <typename Search, std::size_t... kIndex>
void decode_together(const std::array<Work, kStreams>& work, std::index_sequence<kIndex...>) {
  std::array<Run<Search>, kStreams> runs{
      Run<Search>(*work[kIndex].reader, Search(*work[kIndex].table), work[kIndex].symbols.data())...};
  const std::size_t shared = std::min({work[kIndex].symbols.size()...});
  std::array<std::size_t, kStreams> done{};
  for (std::size_t first = 0; first + kRansLanes <= shared; first += kRansLanes) {
    const bool is_whole = ((done[kIndex] += runs[kIndex].whole(first) ? kRansLanes : 0, done[kIndex] > first) & ...);
    if (!is_whole) break;
  }
  const auto end = [](Run<Search>& run, const Work& of, std::size_t from) {
    const std::size_t stop = finish(run, from, of.symbols.size());
    if (stop < of.symbols.size()) ref_kernels().rans_decode(*of.reader, *of.table, of.symbols.subspan(stop));
  };
  (end(runs[kIndex], work[kIndex], done[kIndex]), ...);
}

// Calls visit<Search>() with the search for trees of that depth.
template <typename Visit>
void with_search(unsigned depth, Visit visit) {
  if (depth == 2) return visit.template operator()<SmallSearch<2>>();
  if (depth == 3) return visit.template operator()<SmallSearch<3>>();
  if (depth == 4) return visit.template operator()<SmallSearch<4>>();
  if (depth == 5) return visit.template operator()<LargeSearch<5>>();
  visit.template operator()<LargeSearch<6>>();
}

void decode_any(const Work& run) {
  const RansSearch& search = run.table->search;
  if (!search.is_constant) return with_search(search.depth, [&]<typename Search>() { decode_one<Search>(run); });
  const std::array<std::uint32_t, kRansLanes>& states = run.reader->states;
  const bool in_range = std::all_of(states.begin(), states.end(), [](std::uint32_t x) { return x >= kRansStart; });
  if (!in_range) return ref_kernels().rans_decode(*run.reader, *run.table, run.symbols);
  // A symbol with all slots leaves every state as it is.
  if (!run.symbols.empty()) std::memset(run.symbols.data(), search.first, run.symbols.size());
}

void decode_by_context(RansReader& reader, const RansDecodeRun& work) {
  std::size_t done = 0;
  if (ContextSearch::can_walk(*work.by_context)) {
    // Groups are loaded whole: the last one's contexts come from a padded copy.
    const std::size_t whole = work.symbols.size() / kRansLanes * kRansLanes;
    Run<ContextSearch> run(reader, ContextSearch(*work.by_context, work.contexts), work.symbols.data());
    done = finish(run, 0, whole);
    if (done == whole && whole < work.symbols.size()) {
      std::array<std::uint8_t, kRansLanes> last{};
      std::memcpy(last.data(), work.contexts + whole, work.symbols.size() - whole);
      Run<ContextSearch> tail(reader, ContextSearch(*work.by_context, last.data()), work.symbols.data() + whole);
      done += finish(tail, 0, work.symbols.size() - whole);
    }
  }
  if (done == work.symbols.size()) return;
  RansDecodeRun rest = work;
  rest.contexts += done;
  rest.symbols = rest.symbols.subspan(done);
  const RansDecodeStream stream{&reader, {&rest, 1}};
  ref_kernels().rans_decode_streams({&stream, 1});
}

// Runs number `index` of up to kStreams streams.
void decode_side_by_side(std::span<const RansDecodeStream> streams, std::size_t index) {
  std::array<Work, kStreams> waiting;
  std::size_t count = 0;
  unsigned depth = 0;
  for (const RansDecodeStream& stream : streams) {
    if (index >= stream.runs.size()) continue;
    const RansDecodeRun& run = stream.runs[index];
    const Work work{stream.reader, run.table, run.symbols};
    if (run.by_context != nullptr) {
      decode_by_context(*stream.reader, run);
    } else if (run.table->search.is_constant) {
      decode_any(work);
    } else {
      waiting[count++] = work;
      depth = std::max<unsigned>(depth, run.table->search.depth);
    }
  }
  if (count == kStreams) {
    return with_search(
        depth, [&]<typename Search>() { decode_together<Search>(waiting, std::make_index_sequence<kStreams>()); });
  }
  for (std::size_t i = 0; i < count; ++i) decode_any(waiting[i]);
}

}  // namespace

void rans_decode(RansReader& reader, const RansTable& table, std::span<std::uint8_t> symbols) {
  decode_any({.reader = &reader, .table = &table, .symbols = symbols});
}

void rans_decode_streams(std::span<const RansDecodeStream> streams) {
  for (std::size_t first = 0; first < streams.size(); first += kStreams) {
    const auto some = streams.subspan(first, std::min(kStreams, streams.size() - first));
    std::size_t runs = 0;
    for (const RansDecodeStream& stream : some) runs = std::max(runs, stream.runs.size());
    for (std::size_t index = 0; index < runs; ++index) decode_side_by_side(some, index);
  }
}

}  // namespace sluice::kernels::avx2
