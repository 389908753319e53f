// How KV rows lie in an engine's memory. Strides and block tables are always given, never assumed: engines page, pad
// and reorder as they like. One unit = one chunk of tokens x one group of layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/quantity.h"

namespace sluice::kernels {

/// Element types of a cache. Pinned: these numbers are on the wire and in stored containers.
enum class DType : std::uint8_t { kF32 = 0, kF16 = 1, kBf16 = 2, kE4m3 = 3, kE5m2 = 4 };

/// Bytes of one element.  Threads: pure.
constexpr std::size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kF16:
    case DType::kBf16:
      return 2;
    case DType::kE4m3:
    case DType::kE5m2:
      return 1;
  }
  return 0;
}

/// Extent of K (and of V, which is alike): [layers][tokens][kv_heads][head_dim] of dtype.
struct KvShape {
  Layers layers;
  Tokens tokens;
  Heads kv_heads;
  HeadDim head_dim;
  DType dtype = DType::kF16;

  constexpr bool operator==(const KvShape&) const = default;
  constexpr std::uint64_t row_values() const { return kv_heads.count() * head_dim.count(); }
  constexpr Bytes row_bytes() const { return Bytes(row_values() * dtype_size(dtype)); }
  /// K alone (V is the same).
  constexpr Bytes side_bytes() const { return row_bytes() * tokens.count() * layers.count(); }
  /// K and V together, as the engine holds them without padding.
  constexpr Bytes raw_bytes() const { return side_bytes() * 2; }
};

/// K or V of one layer: token t, head h starts at blocks[t / block_tokens] + (t % block_tokens) * token_stride
/// + h * head_stride; head_dim values are contiguous there. Strides in bytes. Byte is std::byte or const std::byte.
template <typename Byte>
struct BasicPlaneView {
  std::span<Byte* const> blocks;
  std::uint64_t block_tokens = 0;
  std::ptrdiff_t token_stride = 0;
  std::ptrdiff_t head_stride = 0;

  Byte* row(std::uint64_t token, std::uint64_t head) const {
    return blocks[token / block_tokens] + static_cast<std::ptrdiff_t>(token % block_tokens) * token_stride +
           static_cast<std::ptrdiff_t>(head) * head_stride;
  }
};

/// The rows of one unit: k and v have shape.layers planes each, of shape.tokens tokens.
/// Ownership: views; the memory must outlive the call it is passed to.
template <typename Byte>
struct BasicUnitView {
  KvShape shape;
  std::span<const BasicPlaneView<Byte>> k;
  std::span<const BasicPlaneView<Byte>> v;
};

using PlaneView = BasicPlaneView<const std::byte>;
using MutablePlaneView = BasicPlaneView<std::byte>;
using UnitView = BasicUnitView<const std::byte>;
using MutableUnitView = BasicUnitView<std::byte>;

/// How K was rotated before it was cached. Source: RoFormer (arXiv 2104.09864) section 3.2; the two pairings in use.
enum class RopeStyle : std::uint8_t {
  kNone = 0,    ///< not rotated, or not known
  kPairs = 1,   ///< channels (2i, 2i+1) turn together
  kHalves = 2,  ///< channels (i, i + dims/2) turn together (NEOX)
};

/// How frequencies were changed for longer contexts. A common factor on K (YaRN's attention factor) is none of it.
/// Pinned: these numbers are in files. Source: Position Interpolation (arXiv 2306.15595); Llama 3.1's and YaRN's
/// (arXiv 2309.00071) rules as transformers names their parameters.
enum class RopeScalingKind : std::uint8_t { kNone = 0, kLinear = 1, kLlama3 = 2, kYarn = 3 };

/// All but factor are for kLlama3 (low and high frequency factor) and kYarn (beta_slow and beta_fast) only, else 0.
struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  float factor = 0;
  float low = 0;
  float high = 0;
  std::uint32_t original_tokens = 0;
  constexpr bool operator==(const RopeScaling&) const = default;
};

/// Rotation of K: pair i of `dims` leading channels turns by position * base^(-2i/dims), before scaling. Some models
/// rotate the layers that look through a window by a base of their own: with a local_period, layer l turns by
/// local_base, and without scaling, unless (l + 1) % local_period == 0 (Gemma 3: 10000 and 6).
struct RopeSpec {
  RopeStyle style = RopeStyle::kNone;
  std::uint32_t dims = 0;
  double base = 10000.0;
  RopeScaling scaling{};
  double local_base = 0;           ///< 0 without local_period
  std::uint32_t local_period = 0;  ///< 0: all layers alike
  constexpr bool operator==(const RopeSpec&) const = default;
};

}  // namespace sluice::kernels
