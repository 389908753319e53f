// Interleaved rANS: 32 lanes share one stream of 16-bit words. Symbol i of a run belongs to lane i % 32; a lane takes
// part only where it has a symbol. States are 32 bits in [2^16, 2^32), probabilities have 2^8 slots, so a step moves at
// most one word. The encoder walks backwards from states 2^16, so a decoder that does not end there has met damage.
// Source: FORMAT.md section 4; asymmetric numeral systems after Duda (arXiv 1311.2540).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::kernels {

inline constexpr std::size_t kRansLanes = 32;
inline constexpr std::uint32_t kRansSlots = 256;
inline constexpr std::uint32_t kRansStart = 1U << 16U;
inline constexpr std::size_t kRansMaxSymbols = 64;
/// Symbols that are coded by context: of so many kinds, in so many contexts.
inline constexpr std::size_t kRansContexts = 4;
inline constexpr std::size_t kRansContextSymbols = 4;

/// A distribution as byte tables, for coders that search in registers instead of memory. Entries are of the symbols
/// from `first`, the lowest of frequency above 0, on. A tree of depth d has its root at 1 and the children of i at 2i,
/// 2i + 1; node i holds the start of an entry less one, its top bit turned so that a signed comparison orders it;
/// leaves are entries in order. Padding is never exceeded.
struct RansSearch {
  static constexpr std::size_t kSmall = 16;
  static constexpr std::size_t kSmallDepth = 4;
  /// Trees of depths 2, 3 and 4: distributions of unlike size may be walked side by side at the depth of the deepest.
  std::array<std::array<std::uint8_t, kSmall>, kSmallDepth - 1> small_trees{};
  std::array<std::uint8_t, kRansMaxSymbols / 2> middle_tree{};  ///< of depth 5
  std::array<std::uint8_t, kRansMaxSymbols> tree{};             ///< of depth 6
  std::array<std::uint8_t, kRansMaxSymbols> before{};           ///< start - 1, top bit turned
  std::array<std::uint8_t, kRansMaxSymbols> frequency{};
  std::array<std::uint8_t, kRansMaxSymbols> start{};
  std::array<std::uint8_t, kRansMaxSymbols> reciprocal_low{};  ///< of floor(2^16 / frequency), at most 2^16 - 1
  std::array<std::uint8_t, kRansMaxSymbols> reciprocal_high{};
  std::uint8_t first = 0;
  std::uint8_t entries = 0;  ///< up to the last of frequency above 0
  std::uint8_t depth = 0;    ///< of the smallest tree that holds them, at least 2
  bool is_constant = false;  ///< one symbol, `first`, has all slots; there is nothing to search
};

/// A distribution as one look-up by slot and two by symbol, for coders with byte and word permutations of whole tables.
struct RansLookup {
  alignas(64) std::array<std::uint8_t, kRansSlots> symbol_of_slot{};
  /// By symbol: frequency (0 stands for all slots) | start << 8.
  alignas(64) std::array<std::uint16_t, kRansMaxSymbols> entry{};
  alignas(64) std::array<std::uint16_t, kRansMaxSymbols> reciprocal{};  ///< floor(2^16 / frequency), at most 2^16 - 1
  std::size_t symbols = 0;                                              ///< up to the last of frequency above 0
};

/// One static distribution, expanded for both directions.
struct RansTable {
  struct EncodeEntry {
    std::uint64_t reciprocal = 0;  ///< ceil(2^40 / frequency)
    std::uint64_t limit = 0;       ///< frequency << 24: above it a word leaves the state first
    std::uint32_t start = 0;
    std::uint32_t complement = 0;  ///< kRansSlots - frequency
  };
  /// slot -> symbol | frequency << 8 | (slot - start) << 20
  std::array<std::uint32_t, kRansSlots> decode{};
  std::array<EncodeEntry, kRansMaxSymbols> encode{};
  alignas(16) RansSearch search;
  RansLookup lookup;
};

/// Expands frequencies; false, and an untouched table, unless they are at most kRansMaxSymbols and sum to kRansSlots.
/// A symbol of frequency 0 must never be encoded.  Threads: pure.
bool make_rans_table(std::span<const std::uint16_t> frequencies, RansTable& table);

/// The tables of a symbol that has a context, side by side for coders that choose per lane.
struct RansContextLookup {
  static constexpr std::size_t kLanes = 32;
  /// [symbol - 1][context]: where a symbol starts; kRansSlots when no slot reaches it.
  alignas(64) std::array<std::array<std::uint16_t, kLanes>, kRansContextSymbols - 1> starts{};
  /// [kRansContextSymbols * context + symbol], as in RansLookup.
  alignas(64) std::array<std::uint16_t, kLanes> entry{};
  alignas(64) std::array<std::uint16_t, kLanes> reciprocal{};
  bool is_complete = false;  ///< false when a distribution is constant: its frequency has no place in an entry
};
struct RansContexts {
  std::array<RansTable, kRansContexts> tables;
  RansContextLookup lookup;
};

/// Expands one distribution a context; false, and untouched, unless each is one of make_rans_table with at most
/// kRansContextSymbols symbols.  Threads: pure.
bool make_rans_contexts(const std::array<std::span<const std::uint16_t>, kRansContexts>& frequencies,
                        RansContexts& contexts);

/// Encoder of one stream; words are written from the end of `room` downwards.
struct RansWriter {
  std::array<std::uint32_t, kRansLanes> states{};
  std::byte* first = nullptr;   ///< start of room
  std::byte* cursor = nullptr;  ///< words written so far are [cursor, end of room)
};
RansWriter open_rans_writer(std::span<std::byte> room);

/// Decoder of one stream. `intact` falls to false when words run out.
struct RansReader {
  std::array<std::uint32_t, kRansLanes> states{};
  const std::byte* cursor = nullptr;
  const std::byte* end = nullptr;
  bool intact = true;
};

/// True when a reader consumed exactly its words and every lane is back at the start.  Threads: pure.
bool is_finished(const RansReader& reader);

/// One run of a stream.
/// Precondition: room for one word a symbol.
using RansEncodeFn = void(RansWriter& writer, const RansTable& table, std::span<const std::uint8_t> symbols);
using RansDecodeFn = void(RansReader& reader, const RansTable& table, std::span<std::uint8_t> symbols);

/// A run whose symbols have one table, or one of several each: that of contexts[i] < kRansContexts.
template <typename Symbol>
struct BasicRansRun {
  const RansTable* table = nullptr;          ///< or
  const RansContexts* by_context = nullptr;  ///< with
  const std::uint8_t* contexts = nullptr;    ///< [symbols.size()]
  std::span<Symbol> symbols;
};
using RansEncodeRun = BasicRansRun<const std::uint8_t>;
using RansDecodeRun = BasicRansRun<std::uint8_t>;

/// Streams that do not depend on each other, coded side by side: what one core does with the time that a lone stream
/// spends waiting for its own states. Runs stand in the order of decoding; an encoder takes the last one first.
/// Precondition: no stream occurs twice; in one call every run has contexts or none has.
struct RansEncodeStream {
  RansWriter* writer = nullptr;
  std::span<const RansEncodeRun> runs;
};
struct RansDecodeStream {
  RansReader* reader = nullptr;
  std::span<const RansDecodeRun> runs;
};
using RansEncodeStreamsFn = void(std::span<const RansEncodeStream> streams);
using RansDecodeStreamsFn = void(std::span<const RansDecodeStream> streams);

}  // namespace sluice::kernels
