// RoPE on columns: a column is one channel of all tokens of a unit, so both pairings are the same kernel on other
// pairs. Angles come from the host's libm: encoder and decoder may differ in the last bit, which is noise of the value
// and never reaches a symbol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/shape.h"

namespace sluice::kernels {

/// cos and sin of every pair and token of one unit: [pair][token].
struct RopeAngles {
  std::uint64_t pairs = 0;
  std::uint64_t tokens = 0;
  std::vector<float> cosine;
  std::vector<float> sine;
};

/// Two channels of a head that turn together.
struct ChannelPair {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
};

/// Pair number `pair` < dims / 2.  Precondition: style is not kNone.  Threads: pure.
constexpr ChannelPair rope_pair(const RopeSpec& rope, std::uint64_t pair) {
  if (rope.style == RopeStyle::kPairs) return {2 * pair, 2 * pair + 1};
  return {pair, pair + rope.dims / 2};
}

/// The rotation of one layer of the model, without a local base.  Threads: pure.
constexpr RopeSpec rope_of_layer(const RopeSpec& rope, std::uint64_t layer) {
  RopeSpec own = rope;
  if (rope.local_period != 0 && (layer + 1) % rope.local_period != 0) {
    own.base = rope.local_base;
    own.scaling = {};
  }
  own.local_base = 0;
  own.local_period = 0;
  return own;
}

/// Radians per token of a pair, scaling included.  Precondition: pair < dims / 2.  Threads: pure.
double rope_frequency(const RopeSpec& rope, std::uint64_t pair);

/// Fills `angles` for tokens at positions first_position, +1, ...; no pairs for RopeStyle::kNone.
/// Threads: pure.
void fill_rope_angles(const RopeSpec& rope, std::uint64_t first_position, std::uint64_t tokens, RopeAngles& angles);

/// Turns (first, second) by the angles, or back when `sine_sign` is -1.
/// Shape:   all spans [tokens].  Exact: products first, then the sum; no fma.  Threads: pure.
struct RotateColumns {
  std::span<float> first;
  std::span<float> second;
  std::span<const float> cosine;
  std::span<const float> sine;
  float sine_sign = 1.0F;
};
using RotateFn = void(const RotateColumns& columns);

}  // namespace sluice::kernels
