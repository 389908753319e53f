// llama.cpp's saved state of one sequence, version 3, for plain caches: written from planes of ours to restore a
// sequence in one call, and parsed strictly. Place in the flow: Engine::restore; import of states that others saved.
// Invariants: the parser accepts exactly what one prompt from position 0 gives, and refuses what llama.cpp takes
// silently: positions that are negative, huge, doubled or out of order, no cells at all, and trailing bytes.
//
// Form, little endian and packed, C cells, L layers, R bytes a row (kv_heads x head_dim values, K already rotated):
//   u32 magic, i32 sequence, u32 streams = 1, u32 C
//   C x { i32 position, u32 sequences = 1, i32 sequence }
//   u32 transposed = 0, u32 L
//   L x { i32 K type, u64 R, C x R bytes }, then L x { i32 V type, u64 R, C x R bytes }
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/kv_planes.h"
#include "kernels/shape.h"

namespace sluice::integration::llama_cpp {

inline constexpr std::uint32_t kStateMagic = 0xaf143cd8;
/// The version of llama.cpp's sequence state that this file describes; the blob itself does not carry it.
inline constexpr std::uint32_t kStateVersion = 3;

/// Bytes of the blob of such a cache: shape.tokens cells, shape.layers layers.  Threads: pure.
/// Precondition: a shape that KvPlanes::allocate takes.
Bytes state_blob_size(const kernels::KvShape& shape);

/// Writes the first `cells` rows of `planes` as the state of one sequence that starts at position 0.
/// Errors:  kUnsupported for a dtype that llama.cpp has no cache of; kInvalidArgument for cells outside the planes or
/// an
///          `out` that is not exactly as long as the blob.
/// Threads: pure.
Result<void> write_state_blob(const KvPlanes& planes, Tokens cells, std::span<std::byte> out);

/// A checked blob.
/// Ownership: views the bytes it was parsed from.
class StateBlobView {
 public:
  /// Every field is compared with the one form that `expected` (tokens = cells) allows.
  /// Errors:  kTruncated, kTrailingBytes, kBadMagic, kBadField (counts, positions, sequences, a transposed V),
  ///          kIncompatibleLayout (layers, types or row length of another model or cache type), kUnsupported (dtype).
  static Result<StateBlobView> parse(std::span<const std::byte> blob, const kernels::KvShape& expected);

  const kernels::KvShape& shape() const { return shape_; }
  /// Rows of one layer: [tokens][kv_heads][head_dim].  Precondition: layer is inside the shape.
  std::span<const std::byte> k_layer(LayerIndex layer) const;
  std::span<const std::byte> v_layer(LayerIndex layer) const;

 private:
  StateBlobView(std::span<const std::byte> blob, const kernels::KvShape& shape) : blob_(blob), shape_(shape) {}

  std::span<const std::byte> blob_;
  kernels::KvShape shape_;
};

}  // namespace sluice::integration::llama_cpp
