#include "integration/geometry.h"

#include <algorithm>

#include "codec/frame.h"

namespace sluice::integration {
namespace {

constexpr std::uint64_t kMaxRequestTokens = transport::kMaxPromptTokens;

std::uint64_t pieces(std::uint64_t whole, std::uint64_t piece) { return (whole + piece - 1) / piece; }

bool within(std::uint64_t value, std::uint64_t most) { return value > 0 && value <= most; }

}  // namespace

Result<Geometry> Geometry::make(const kernels::KvShape& shape, const kernels::RopeSpec& rope, Cut cut) {
  const bool sound =
      within(shape.layers.count(), codec::kMaxLayers) && within(shape.tokens.count(), kMaxRequestTokens) &&
      within(shape.kv_heads.count(), codec::kMaxHeads) && within(shape.head_dim.count(), codec::kMaxHeadDim) &&
      kernels::dtype_size(shape.dtype) > 0 && within(cut.chunk_tokens.count(), codec::kMaxTokens) &&
      within(cut.group_layers.count(), codec::kMaxLayers);
  if (!sound) return Error{ErrorCode::kBadField, 0, "request geometry"};
  Geometry geometry;
  geometry.shape_ = shape;
  geometry.rope_ = rope;
  geometry.cut_ = cut;
  return geometry;
}

Result<Geometry> Geometry::from_ack(const transport::OpenAck& ack) {
  const kernels::KvShape shape{ack.layout.layers, ack.tokens, ack.layout.kv_heads, ack.layout.head_dim,
                               static_cast<kernels::DType>(ack.layout.dtype)};
  const kernels::RopeSpec rope{static_cast<kernels::RopeStyle>(ack.layout.rope_style), ack.layout.rope_dims,
                               ack.layout.rope_base};
  SLUICE_ASSIGN(Geometry geometry, make(shape, rope, {ack.chunk_tokens, ack.group_layers}));
  if (geometry.units() != ack.units) return Error{ErrorCode::kBadField, 0, "units of an open ack"};
  return geometry;
}

transport::OpenAck Geometry::to_ack() const {
  const transport::KvLayout layout{shape_.layers,
                                   shape_.kv_heads,
                                   shape_.head_dim,
                                   static_cast<std::uint8_t>(shape_.dtype),
                                   static_cast<std::uint8_t>(rope_.style),
                                   rope_.dims,
                                   rope_.base};
  return {layout, shape_.tokens, cut_.chunk_tokens, cut_.group_layers, units()};
}

std::uint32_t Geometry::chunks() const {
  return static_cast<std::uint32_t>(pieces(shape_.tokens.count(), cut_.chunk_tokens.count()));
}

std::uint32_t Geometry::groups() const {
  return static_cast<std::uint32_t>(pieces(shape_.layers.count(), cut_.group_layers.count()));
}

UnitKey Geometry::unit_at(RequestId request, std::size_t place) const {
  return {request, ChunkIndex(static_cast<std::uint32_t>(place / groups())),
          LayerGroupIndex(static_cast<std::uint32_t>(place % groups()))};
}

TokenRange Geometry::tokens_of(UnitKey unit) const {
  const std::uint64_t first = unit.chunk.value() * cut_.chunk_tokens.count();
  return {TokenIndex(first), Tokens(std::min(cut_.chunk_tokens.count(), shape_.tokens.count() - first))};
}

LayerRange Geometry::layers_of(UnitKey unit) const {
  const std::uint64_t first = unit.group.value() * cut_.group_layers.count();
  return {LayerIndex(static_cast<std::uint32_t>(first)),
          Layers(std::min(cut_.group_layers.count(), shape_.layers.count() - first))};
}

kernels::KvShape Geometry::shape_of(UnitKey unit) const {
  kernels::KvShape shape = shape_;
  shape.tokens = tokens_of(unit).count;
  shape.layers = layers_of(unit).count;
  return shape;
}

}  // namespace sluice::integration
