// Identities: distinct types for distinct things, so that a slot can never be passed for a stage. No arithmetic.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace sluice {

/// A name of one kind of thing, carried as Rep. Explicit to enter, `value()` to leave.
template <typename Tag, typename Rep>
class Identity {
 public:
  constexpr Identity() = default;
  constexpr explicit Identity(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const Identity&) const = default;

 private:
  Rep value_{};
};

/// One prompt's KV hand-over. Chosen by the decode node, unique for its epoch.
using RequestId = Identity<struct RequestIdTag, std::uint64_t>;
/// Another node, as this process numbers it.
using PeerId = Identity<struct PeerIdTag, std::uint32_t>;
/// One run of a node: a restart has another epoch, so that nothing late from the old run is taken for new.
using Epoch = Identity<struct EpochTag, std::uint64_t>;
using SlotIndex = Identity<struct SlotIndexTag, std::uint32_t>;
/// How often a slot has been reused; in every lease and every unit header.
using Generation = Identity<struct GenerationTag, std::uint64_t>;
/// Zero-based positions.
using LayerIndex = Identity<struct LayerIndexTag, std::uint32_t>;
using TokenIndex = Identity<struct TokenIndexTag, std::uint64_t>;
using ChunkIndex = Identity<struct ChunkIndexTag, std::uint32_t>;
using LayerGroupIndex = Identity<struct LayerGroupIndexTag, std::uint32_t>;
/// A vocabulary entry of the model.
using TokenId = Identity<struct TokenIdTag, std::int32_t>;
/// Content hash (XXH3-64) of a model, layout, profile or payload.
using ContentHash = Identity<struct ContentHashTag, std::uint64_t>;

/// One unit of a request: one chunk of tokens x one group of layers.
struct UnitKey {
  RequestId request;
  ChunkIndex chunk;
  LayerGroupIndex group;
  constexpr auto operator<=>(const UnitKey&) const = default;
};

/// What of a unit is sent: its raw rows, its lossless or 8-bit coding, or one stage of its nested bitstream. A unit's
/// level is what its received parts add up to.
/// Pinned: these numbers are on the wire and in stored containers.
enum class Part : std::uint8_t {
  kBase = 0,
  kRefinement1 = 1,
  kRefinement2 = 2,
  kRefinement3 = 3,
  kRaw = 16,
  kLossless = 17,
  kInt8 = 18
};

/// Stored KV is found by it: XXH3-128 over tenant salt, model hash and token ids. Never a language's own hash.
using PrefixKey = std::array<std::uint64_t, 2>;

}  // namespace sluice

template <typename Tag, typename Rep>
struct std::hash<sluice::Identity<Tag, Rep>> {
  std::size_t operator()(sluice::Identity<Tag, Rep> id) const noexcept { return std::hash<Rep>{}(id.value()); }
};
