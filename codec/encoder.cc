#include "codec/encoder.h"

#include <vector>

#include "codec/frame.h"
#include "codec/lossless.h"
#include "codec/nested_encoder.h"
#include "codec/plain.h"

namespace sluice::codec {
namespace {

void check_unit(const kernels::UnitView& unit) {
  const kernels::KvShape& shape = unit.shape;
  SLUICE_ASSERT(!shape.layers.is_zero() && shape.layers.count() <= kMaxLayers);
  SLUICE_ASSERT(!shape.tokens.is_zero() && shape.tokens.count() <= kMaxTokens);
  SLUICE_ASSERT(!shape.kv_heads.is_zero() && shape.kv_heads.count() <= kMaxHeads);
  SLUICE_ASSERT(!shape.head_dim.is_zero() && shape.head_dim.count() <= kMaxHeadDim);
  SLUICE_ASSERT(unit.k.size() == shape.layers.count() && unit.v.size() == shape.layers.count());
}

FrameHeader header_for(const kernels::UnitView& unit, const UnitContext& context, Part part) {
  FrameHeader header;
  header.part = part;
  header.shape = unit.shape;
  header.rope = context.rope;
  header.first_position = context.first_position;
  return header;
}

bool is_sane(float step) { return step > 0.0F && step <= 16.0F; }

}  // namespace

struct Encoder::State {
  State(const kernels::KernelTable& table, const EncoderOptions& options)
      : kernels(&table), nested(table, options), lossless(table) {}
  const kernels::KernelTable* kernels;
  NestedEncoder nested;
  LosslessCoder lossless;
  std::vector<float> rows;
};

Encoder::Encoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
Encoder::Encoder(Encoder&&) noexcept = default;
Encoder& Encoder::operator=(Encoder&&) noexcept = default;
Encoder::~Encoder() = default;

Result<void> check_options(const EncoderOptions& options) {
  if (!is_sane(options.key_step) || !is_sane(options.value_step)) {
    return Error{ErrorCode::kInvalidArgument, 0, "encoder step"};
  }
  if (options.profile != nullptr && options.level >= options.profile->contents().levels.size()) {
    return Error{ErrorCode::kInvalidArgument, 0, "encoder level"};
  }
  return {};
}

Result<Encoder> Encoder::open(const kernels::KernelTable& kernels, const EncoderOptions& options) {
  SLUICE_TRY(check_options(options));
  return Encoder(std::make_unique<State>(kernels, options));
}

Bytes Encoder::max_encoded_size(const kernels::KvShape& shape, Part part) {
  switch (part) {
    case Part::kBase:
    case Part::kRefinement1:
    case Part::kRefinement2:
      return NestedEncoder::max_size(shape, part);
    case Part::kRaw:
      return Bytes(kFrameHeaderSize + raw_payload(shape));
    case Part::kLossless:
      return Bytes(kFrameHeaderSize + max_lossless_payload(shape));
    case Part::kInt8:
      return Bytes(kFrameHeaderSize + int8_payload(shape));
    case Part::kRefinement3:
      break;
  }
  SLUICE_ASSERT(false);
}

Bytes Encoder::max_nested_size(const kernels::KvShape& shape) {
  return max_encoded_size(shape, Part::kBase) + max_encoded_size(shape, Part::kRefinement1) +
         max_encoded_size(shape, Part::kRefinement2);
}

Result<EncodedUnit> Encoder::encode(const kernels::UnitView& unit, const UnitContext& context,
                                    std::span<std::byte> out) {
  check_unit(unit);
  SLUICE_ASSERT(out.size() >= max_nested_size(unit.shape).count());
  return state_->nested.encode(unit, context, out);
}

Result<Bytes> Encoder::encode_raw(const kernels::UnitView& unit, const UnitContext& context, std::span<std::byte> out) {
  check_unit(unit);
  const std::size_t size = max_encoded_size(unit.shape, Part::kRaw).count();
  const std::span<std::byte> frame = out.first(size);
  write_raw(*state_->kernels, unit, frame.subspan(kFrameHeaderSize));
  seal_frame(*state_->kernels, header_for(unit, context, Part::kRaw), frame);
  return Bytes(size);
}

Result<Bytes> Encoder::encode_lossless(const kernels::UnitView& unit, const UnitContext& context,
                                       std::span<std::byte> out) {
  check_unit(unit);
  SLUICE_ASSERT(out.size() >= max_encoded_size(unit.shape, Part::kLossless).count());
  const std::size_t size = kFrameHeaderSize + state_->lossless.write(unit, out.subspan(kFrameHeaderSize));
  seal_frame(*state_->kernels, header_for(unit, context, Part::kLossless), out.first(size));
  return Bytes(size);
}

Result<Bytes> Encoder::encode_int8(const kernels::UnitView& unit, const UnitContext& context,
                                   std::span<std::byte> out) {
  check_unit(unit);
  const std::size_t size = max_encoded_size(unit.shape, Part::kInt8).count();
  const std::span<std::byte> frame = out.first(size);
  SLUICE_TRY(write_int8(*state_->kernels, unit, frame.subspan(kFrameHeaderSize), state_->rows));
  seal_frame(*state_->kernels, header_for(unit, context, Part::kInt8), frame);
  return Bytes(size);
}

}  // namespace sluice::codec
