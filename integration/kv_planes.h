// The KV rows of one prompt in memory of ours: what an engine fills while it prefills, what the codec reads and writes,
// and what an engine takes back in one piece. K and V each lie as [layers][tokens][kv_heads][head_dim], no padding.
// Invariant: a slice never reaches outside the shape; whoever writes a row announces it before another thread reads it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "kernels/shape.h"

namespace sluice::integration {

/// Tokens [first, first + count) of a prompt.
struct TokenRange {
  TokenIndex first;
  Tokens count;
  constexpr bool operator==(const TokenRange&) const = default;
};

/// Layers [first, first + count) of a model.
struct LayerRange {
  LayerIndex first;
  Layers count;
  constexpr bool operator==(const LayerRange&) const = default;
};

/// A token range x layer range of planes, holding the tables that a kernels::UnitView points into.
/// Ownership: of the tables only; the planes must outlive it. Moving it keeps view() valid.  Threads: a value.
template <typename Byte>
class BasicKvSlice {
 public:
  BasicKvSlice(BasicKvSlice&&) noexcept = default;
  BasicKvSlice& operator=(BasicKvSlice&&) noexcept = default;

  /// Valid as long as the slice and its planes are.
  kernels::BasicUnitView<Byte> view() const {
    const std::span<const kernels::BasicPlaneView<Byte>> all(planes_);
    const std::size_t half = all.size() / 2;
    return {shape_, all.first(half), all.subspan(half)};
  }

 private:
  template <typename AnyByte>
  friend struct BasicKvRows;
  explicit BasicKvSlice(kernels::KvShape shape) : shape_(shape) {}

  kernels::KvShape shape_;
  std::vector<Byte*> blocks_;                          // one per plane: K of each layer, then V of each layer
  std::vector<kernels::BasicPlaneView<Byte>> planes_;  // planes_[i].blocks = one entry of blocks_
};

using KvSlice = BasicKvSlice<const std::byte>;
using MutableKvSlice = BasicKvSlice<std::byte>;

/// K and V of one prompt wherever they lie: each [layers][tokens][kv_heads][head_dim], no padding, at any alignment.
/// Ownership: views.
template <typename Byte>
struct BasicKvRows {
  kernels::KvShape shape;
  Byte* k = nullptr;
  Byte* v = nullptr;

  /// Rows of a range.  Precondition: both ranges are inside the shape and not empty.
  BasicKvSlice<Byte> slice(TokenRange tokens, LayerRange layers) const;
};

using KvRows = BasicKvRows<const std::byte>;
using MutableKvRows = BasicKvRows<std::byte>;

/// Owner of the planes of one prompt.
/// Threads: rows are plain memory; disjoint slices may be used from different threads.
class KvPlanes {
 public:
  /// Bytes that planes of `shape` take. Never wraps, so it may be asked about shapes that others sent.
  /// Errors:  kInvalidArgument for an extent of zero or more than 2^40 bytes.  Threads: pure.
  static Result<Bytes> size_of(const kernels::KvShape& shape);

  /// Zero-filled planes of `shape`.
  /// Errors:  those of size_of(), kNoMemory.
  static Result<KvPlanes> allocate(const kernels::KvShape& shape);

  KvPlanes(KvPlanes&&) noexcept = default;
  KvPlanes& operator=(KvPlanes&&) noexcept = default;

  const kernels::KvShape& shape() const { return shape_; }
  KvRows rows() const { return {shape_, k_start(LayerIndex(0)), v_start(LayerIndex(0))}; }
  MutableKvRows mutable_rows() { return {shape_, k_start(LayerIndex(0)), v_start(LayerIndex(0))}; }

  /// Rows of a range, to read.  Precondition: both ranges are inside shape() and not empty.
  KvSlice slice(TokenRange tokens, LayerRange layers) const;
  /// Rows of a range, to write.  Precondition: as slice.
  MutableKvSlice mutable_slice(TokenRange tokens, LayerRange layers);

  /// The rows of all tokens of one layer, contiguous: [tokens][kv_heads][head_dim].  Precondition: layer is inside.
  std::span<const std::byte> k_layer(LayerIndex layer) const;
  std::span<const std::byte> v_layer(LayerIndex layer) const;
  /// All of K, of V: [layers][tokens][kv_heads][head_dim].
  std::span<const std::byte> k() const;
  std::span<const std::byte> v() const;
  std::span<std::byte> mutable_k_layer(LayerIndex layer);
  std::span<std::byte> mutable_v_layer(LayerIndex layer);

 private:
  KvPlanes(const kernels::KvShape& shape, std::unique_ptr<std::byte[]> bytes);
  std::byte* k_start(LayerIndex layer) const;
  std::byte* v_start(LayerIndex layer) const;

  kernels::KvShape shape_;
  std::unique_ptr<std::byte[]> bytes_;  // all K planes, then all V planes
};

}  // namespace sluice::integration
