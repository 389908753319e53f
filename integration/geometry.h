// How a request's KV is cut into units, as both sides of a transfer see it: chunks of tokens x groups of layers.
// Invariant: the ranges of all units are disjoint and cover the request.
#pragma once

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/kv_planes.h"
#include "kernels/shape.h"
#include "transport/message.h"

namespace sluice::integration {

/// Threads: a value.
class Geometry {
 public:
  struct Cut {
    Tokens chunk_tokens;
    Layers group_layers;
  };

  /// Errors: kBadField for an extent of zero or beyond the codec's bounds.
  static Result<Geometry> make(const kernels::KvShape& shape, const kernels::RopeSpec& rope, Cut cut);
  /// Reads what a peer said; also checks that its count of units agrees.  Errors: as make().
  static Result<Geometry> from_ack(const transport::OpenAck& ack);
  transport::OpenAck to_ack() const;

  const kernels::KvShape& shape() const { return shape_; }
  const kernels::RopeSpec& rope() const { return rope_; }
  std::uint32_t chunks() const;
  std::uint32_t groups() const;
  Units units() const { return Units(std::uint64_t{chunks()} * groups()); }

  bool contains(UnitKey unit) const { return unit.chunk.value() < chunks() && unit.group.value() < groups(); }
  /// Place of a unit in chunk-major order.  Precondition: contains(unit).
  std::size_t place(UnitKey unit) const { return std::size_t{unit.chunk.value()} * groups() + unit.group.value(); }
  UnitKey unit_at(RequestId request, std::size_t place) const;
  TokenRange tokens_of(UnitKey unit) const;
  LayerRange layers_of(UnitKey unit) const;
  /// Shape of one unit.
  kernels::KvShape shape_of(UnitKey unit) const;

 private:
  Geometry() = default;
  kernels::KvShape shape_;
  kernels::RopeSpec rope_;
  Cut cut_;
};

}  // namespace sluice::integration
