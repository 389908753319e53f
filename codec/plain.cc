#include "codec/plain.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "codec/byte_order.h"

namespace sluice::codec {
namespace {

constexpr float kLargestInt8 = 127.0F;

// One fp16 as a plane of one value, so that conversion stays the kernels' business.
constexpr kernels::KvShape kOneHalf{.layers = Layers(1),
                                    .tokens = Tokens(1),
                                    .kv_heads = Heads(1),
                                    .head_dim = HeadDim(1),
                                    .dtype = kernels::DType::kF16};

float widen_half(const kernels::KernelTable& kernels, const std::byte* half) {
  const std::array<const std::byte*, 1> blocks{half};
  float value = 0;
  kernels.gather({.blocks = blocks, .block_tokens = 1, .token_stride = 2, .head_stride = 2}, kOneHalf, {0, 1},
                 std::span(&value, 1));
  return value;
}

void narrow_half(const kernels::KernelTable& kernels, float value, std::byte* half) {
  const std::array<std::byte*, 1> blocks{half};
  kernels.scatter(std::span(&value, 1), kOneHalf, {0, 1},
                  {.blocks = blocks, .block_tokens = 1, .token_stride = 2, .head_stride = 2});
}

template <typename Unit>
const auto& plane_of(const Unit& unit, std::size_t stream) {
  return (stream % 2 == 0 ? unit.k : unit.v)[stream / 2];
}

std::size_t int8_stream(const kernels::KvShape& shape) {
  return shape.tokens.count() * (2 * shape.kv_heads.count() + shape.row_values());
}

float largest_magnitude(std::span<const float> values) {
  float largest = 0;
  bool finite = true;
  for (const float value : values) {
    finite = finite && std::isfinite(value);
    largest = std::max(largest, std::fabs(value));
  }
  return finite ? largest : INFINITY;
}

}  // namespace

std::size_t raw_payload(const kernels::KvShape& shape) { return shape.raw_bytes().count(); }

std::size_t int8_payload(const kernels::KvShape& shape) { return 2 * shape.layers.count() * int8_stream(shape); }

void write_raw(const kernels::KernelTable& kernels, const kernels::UnitView& unit, std::span<std::byte> payload) {
  const std::size_t side = unit.shape.tokens.count() * unit.shape.row_bytes().count();
  for (std::size_t stream = 0; stream < 2 * unit.shape.layers.count(); ++stream) {
    kernels.copy_rows(plane_of(unit, stream), unit.shape, {0, unit.shape.tokens.count()},
                      payload.subspan(stream * side, side));
  }
}

Result<void> read_raw(const kernels::KernelTable& kernels, std::span<const std::byte> payload,
                      const kernels::MutableUnitView& out) {
  if (payload.size() != raw_payload(out.shape)) return Error{ErrorCode::kBadLength, 0, "raw payload"};
  const std::size_t side = out.shape.tokens.count() * out.shape.row_bytes().count();
  for (std::size_t stream = 0; stream < 2 * out.shape.layers.count(); ++stream) {
    kernels.place_rows(payload.subspan(stream * side, side), out.shape, {0, out.shape.tokens.count()},
                       plane_of(out, stream));
  }
  return {};
}

Result<void> write_int8(const kernels::KernelTable& kernels, const kernels::UnitView& unit,
                        std::span<std::byte> payload, std::vector<float>& rows) {
  const kernels::KvShape& shape = unit.shape;
  const std::size_t heads = shape.tokens.count() * shape.kv_heads.count();
  const std::size_t dim = shape.head_dim.count();
  rows.resize(heads * dim);
  for (std::size_t stream = 0; stream < 2 * shape.layers.count(); ++stream) {
    kernels.gather(plane_of(unit, stream), shape, {0, shape.tokens.count()}, rows);
    std::byte* const scales = payload.data() + stream * int8_stream(shape);
    std::byte* const values = scales + 2 * heads;
    for (std::size_t head = 0; head < heads; ++head) {
      const std::span<const float> row = std::span<const float>(rows).subspan(head * dim, dim);
      narrow_half(kernels, largest_magnitude(row) / kLargestInt8, scales + 2 * head);
      const float scale = widen_half(kernels, scales + 2 * head);
      if (!std::isfinite(scale)) return Error{ErrorCode::kUnsupported, 0, "8-bit scale"};
      const float inverse = scale > 0 ? 1.0F / scale : 0.0F;
      for (std::size_t i = 0; i < dim; ++i) {
        const float steps = std::clamp(row[i] * inverse, -kLargestInt8, kLargestInt8);
        // Adding 1.5 * 2^23 leaves the nearest integer, half to even, in the low bits.
        const float shifted = steps + 0x1.8p23F;
        values[head * dim + i] = static_cast<std::byte>(std::bit_cast<std::uint32_t>(shifted) & 0xFFU);
      }
    }
  }
  return {};
}

Result<void> read_int8(const kernels::KernelTable& kernels, std::span<const std::byte> payload,
                       const kernels::MutableUnitView& out, std::vector<float>& rows) {
  const kernels::KvShape& shape = out.shape;
  if (payload.size() != int8_payload(shape)) return Error{ErrorCode::kBadLength, 0, "8-bit payload"};
  const std::size_t heads = shape.tokens.count() * shape.kv_heads.count();
  const std::size_t dim = shape.head_dim.count();
  const std::size_t streams = 2 * shape.layers.count();
  for (std::size_t stream = 0; stream < streams; ++stream) {
    for (std::size_t head = 0; head < heads; ++head) {
      const std::uint32_t half = load<std::uint16_t>(payload, stream * int8_stream(shape) + 2 * head);
      if (half >= 0x7C00U) return Error{ErrorCode::kCorruptStream, 0, "8-bit scale"};
    }
  }
  rows.resize(heads * dim);
  for (std::size_t stream = 0; stream < streams; ++stream) {
    const std::byte* const scales = payload.data() + stream * int8_stream(shape);
    const std::byte* const values = scales + 2 * heads;
    for (std::size_t head = 0; head < heads; ++head) {
      const float scale = widen_half(kernels, scales + 2 * head);
      float* const row = rows.data() + head * dim;
      for (std::size_t i = 0; i < dim; ++i) {
        row[i] = scale * static_cast<float>(static_cast<std::int8_t>(values[head * dim + i]));
      }
    }
    kernels.scatter(rows, shape, {0, shape.tokens.count()}, plane_of(out, stream));
  }
  return {};
}

}  // namespace sluice::codec
