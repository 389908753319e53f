#include "integration/kv_planes.h"

#include <new>
#include <utility>

#include "base/assert.h"

namespace sluice::integration {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 40;

/// Whether the bytes of `shape` are countable and below kMostBytes, found without a multiplication that may wrap.
bool is_within_bounds(const kernels::KvShape& shape) {
  std::uint64_t room = kMostBytes / 2 / dtype_size(shape.dtype);
  for (const std::uint64_t extent :
       {shape.layers.count(), shape.tokens.count(), shape.kv_heads.count(), shape.head_dim.count()}) {
    if (extent == 0) return false;
    room /= extent;
  }
  return room > 0;
}

std::size_t layer_bytes(const kernels::KvShape& shape) {
  return static_cast<std::size_t>((shape.row_bytes() * shape.tokens.count()).count());
}

}  // namespace

Result<Bytes> KvPlanes::size_of(const kernels::KvShape& shape) {
  if (!is_within_bounds(shape)) return Error{ErrorCode::kInvalidArgument, 0, "kv planes shape"};
  return shape.raw_bytes();
}

Result<KvPlanes> KvPlanes::allocate(const kernels::KvShape& shape) {
  SLUICE_ASSIGN(const Bytes bytes_needed, size_of(shape));
  const auto size = static_cast<std::size_t>(bytes_needed.count());
  std::unique_ptr<std::byte[]> bytes(new (std::nothrow) std::byte[size]());
  if (!bytes) return Error{ErrorCode::kNoMemory, 0, "kv planes"};
  return KvPlanes(shape, std::move(bytes));
}

KvPlanes::KvPlanes(const kernels::KvShape& shape, std::unique_ptr<std::byte[]> bytes)
    : shape_(shape), bytes_(std::move(bytes)) {}

std::byte* KvPlanes::k_start(LayerIndex layer) const {
  SLUICE_ASSERT(layer.value() < shape_.layers.count());
  return bytes_.get() + layer_bytes(shape_) * layer.value();
}

std::byte* KvPlanes::v_start(LayerIndex layer) const {
  return k_start(layer) + layer_bytes(shape_) * static_cast<std::size_t>(shape_.layers.count());
}

std::span<const std::byte> KvPlanes::k_layer(LayerIndex layer) const { return {k_start(layer), layer_bytes(shape_)}; }
std::span<const std::byte> KvPlanes::v_layer(LayerIndex layer) const { return {v_start(layer), layer_bytes(shape_)}; }
std::span<const std::byte> KvPlanes::k() const { return {k_start(LayerIndex(0)), shape_.side_bytes().count()}; }
std::span<const std::byte> KvPlanes::v() const { return {v_start(LayerIndex(0)), shape_.side_bytes().count()}; }
std::span<std::byte> KvPlanes::mutable_k_layer(LayerIndex layer) { return {k_start(layer), layer_bytes(shape_)}; }
std::span<std::byte> KvPlanes::mutable_v_layer(LayerIndex layer) { return {v_start(layer), layer_bytes(shape_)}; }

template <typename Byte>
BasicKvSlice<Byte> BasicKvRows<Byte>::slice(TokenRange tokens, LayerRange layers) const {
  SLUICE_ASSERT(!tokens.count.is_zero() && !layers.count.is_zero());
  SLUICE_ASSERT(tokens.first.value() <= shape.tokens.count());
  SLUICE_ASSERT(tokens.count.count() <= shape.tokens.count() - tokens.first.value());
  SLUICE_ASSERT(layers.first.value() <= shape.layers.count());
  SLUICE_ASSERT(layers.count.count() <= shape.layers.count() - layers.first.value());
  kernels::KvShape part = shape;
  part.tokens = tokens.count;
  part.layers = layers.count;
  BasicKvSlice<Byte> cut(part);
  const auto count = static_cast<std::size_t>(layers.count.count());
  const auto row = static_cast<std::size_t>(shape.row_bytes().count());
  const std::size_t layer_size = layer_bytes(shape);
  cut.blocks_.reserve(2 * count);
  for (Byte* const side : {k, v}) {
    for (std::size_t i = 0; i < count; ++i) {
      cut.blocks_.push_back(side + layer_size * (layers.first.value() + i) + row * tokens.first.value());
    }
  }
  const std::span<Byte* const> blocks(cut.blocks_);
  const auto head = static_cast<std::ptrdiff_t>(row / shape.kv_heads.count());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    cut.planes_.push_back({blocks.subspan(i, 1), tokens.count.count(), static_cast<std::ptrdiff_t>(row), head});
  }
  return cut;
}

template struct BasicKvRows<const std::byte>;
template struct BasicKvRows<std::byte>;

KvSlice KvPlanes::slice(TokenRange tokens, LayerRange layers) const { return rows().slice(tokens, layers); }

MutableKvSlice KvPlanes::mutable_slice(TokenRange tokens, LayerRange layers) {
  return mutable_rows().slice(tokens, layers);
}

}  // namespace sluice::integration
