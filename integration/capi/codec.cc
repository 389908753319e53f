// The C ABI's coding half: formats and options of C checked and turned into ours, then the container writer and reader.
// Invariant: a field of C is looked at only after struct_size says that it is there; outputs are set last.
#include <nlohmann/json.hpp>
#include <optional>

#include "codec/rate.h"
#include "codec/rope_check.h"
#include "integration/capi/capi.h"
#include "integration/codec_choice.h"
#include "integration/codec_inspection.h"
#include "integration/kv_container.h"
#include "integration/safetensors.h"
#include "kernels/table.h"

namespace sluice::capi {
namespace {

using integration::CodingWish;

const kernels::KernelTable& kernel_table() { return kernels::available_kernels().front(); }

/// Extent, rotation and place that a format says.
struct Prompt {
  kernels::KvShape shape;
  kernels::RopeSpec rope;
  TokenIndex first_position;
};

bool has_size(const void* known, uint32_t given, std::size_t size) { return known != nullptr && given >= size; }

Result<Prompt> prompt_of(const sluice_kv_format* format) {
  if (!has_size(format, format == nullptr ? 0 : format->struct_size, sizeof(*format))) {
    return Error{ErrorCode::kInvalidArgument, 0, "kv format size"};
  }
  if (format->dtype > SLUICE_E5M2 || format->rope_style > SLUICE_ROPE_HALVES || format->scaling > SLUICE_SCALING_YARN) {
    return Error{ErrorCode::kInvalidArgument, 0, "kv format"};
  }
  Prompt prompt{.shape = {.layers = Layers(format->layers),
                          .tokens = Tokens(format->tokens),
                          .kv_heads = Heads(format->kv_heads),
                          .head_dim = HeadDim(format->head_dim),
                          .dtype = static_cast<kernels::DType>(format->dtype)},
                .first_position = TokenIndex(format->first_position)};
  SLUICE_TRY(integration::KvPlanes::size_of(prompt.shape));
  if (prompt.shape.layers.count() > codec::kMaxLayers || prompt.shape.kv_heads.count() > codec::kMaxHeads ||
      prompt.shape.head_dim.count() > codec::kMaxHeadDim || format->first_position > codec::kMaxPosition) {
    return Error{ErrorCode::kInvalidArgument, 0, "kv format extent"};
  }
  prompt.rope = codec::canonical({.style = static_cast<kernels::RopeStyle>(format->rope_style),
                                  .dims = format->rope_dims,
                                  .base = format->rope_base,
                                  .scaling = {.kind = static_cast<kernels::RopeScalingKind>(format->scaling),
                                              .factor = format->scaling_factor,
                                              .low = format->scaling_low,
                                              .high = format->scaling_high,
                                              .original_tokens = format->scaling_original_tokens},
                                  .local_base = format->rope_local_base,
                                  .local_period = format->rope_local_period});
  if (!codec::is_valid_rope(prompt.rope, format->head_dim))
    return Error{ErrorCode::kInvalidArgument, 0, "kv format rope"};
  return prompt;
}

/// What was asked for, with the defaults in place.
struct Wish {
  CodingWish coding;
  const codec::Profile* profile = nullptr;
};

Result<Wish> wish_of(const sluice_codec_options* options) {
  Wish wish;
  if (options == nullptr) return wish;
  if (!has_size(options, options->struct_size, sizeof(*options))) {
    return Error{ErrorCode::kInvalidArgument, 0, "codec options size"};
  }
  if (options->level != nullptr) wish.coding.level = options->level;
  if (options->profile != nullptr) wish.profile = &options->profile->profile;
  if (options->chunk_tokens != 0) wish.coding.chunk_tokens = options->chunk_tokens;
  wish.coding.stages = options->stages;
  wish.coding.group_layers = options->group_layers;
  return wish;
}

integration::KvRows rows_of(const Prompt& prompt, const void* k, const void* v) {
  return {prompt.shape, static_cast<const std::byte*>(k), static_cast<const std::byte*>(v)};
}

Result<void> encode(const Prompt& prompt, const integration::KvRows& rows, const sluice_codec_options* options,
                    sluice_bytes** file) {
  if (rows.k == nullptr || rows.v == nullptr || file == nullptr) return Error{ErrorCode::kInvalidArgument, 0, "null"};
  SLUICE_ASSIGN(const Wish wish, wish_of(options));
  integration::KvContainerOptions how;
  how.rope = prompt.rope;
  how.first_position = prompt.first_position;
  SLUICE_TRY(integration::choose_coding(wish.coding, wish.profile, how));
  SLUICE_ASSIGN(std::vector<std::byte> content, integration::encode_rows(kernel_table(), rows, how));
  *file = new sluice_bytes{std::move(content)};
  return {};
}

Result<void> encode_dump(std::span<const std::byte> dump, const sluice_codec_options* options, sluice_bytes** file) {
  SLUICE_ASSIGN(const integration::KvTensors tensors, integration::read_kv_tensors(dump));
  SLUICE_ASSIGN(const integration::KvPlanes planes, integration::planes_of(tensors));
  return encode({tensors.shape, tensors.rope, tensors.first_position}, planes.rows(), options, file);
}

Result<void> tell_format(std::span<const std::byte> file, sluice_kv_format* format) {
  if (!has_size(format, format == nullptr ? 0 : format->struct_size, sizeof(*format))) {
    return Error{ErrorCode::kInvalidArgument, 0, "kv format size"};
  }
  SLUICE_ASSIGN(const codec::ContainerView view, codec::ContainerView::open(kernel_table(), file));
  const codec::ContainerHeader& header = view.header();
  SLUICE_TRY(integration::KvPlanes::size_of(header.shape));
  if (view.frames() == 0) return Error{ErrorCode::kNotFound, 0, "units of the container"};
  SLUICE_ASSIGN(const codec::FrameView first, codec::parse_frame(kernel_table(), view.frame_at(0)));
  const kernels::RopeScaling& scaling = header.rope.scaling;
  *format = {.struct_size = format->struct_size,
             .dtype = static_cast<uint32_t>(header.shape.dtype),
             .layers = header.shape.layers.count(),
             .tokens = header.shape.tokens.count(),
             .kv_heads = header.shape.kv_heads.count(),
             .head_dim = header.shape.head_dim.count(),
             .first_position = first.header.first_position.value(),
             .rope_style = static_cast<uint32_t>(header.rope.style),
             .rope_dims = header.rope.dims,
             .rope_base = header.rope.base,
             .scaling = static_cast<uint32_t>(scaling.kind),
             .scaling_factor = scaling.factor,
             .scaling_low = scaling.low,
             .scaling_high = scaling.high,
             .scaling_original_tokens = scaling.original_tokens,
             .rope_local_period = header.rope.local_period,
             .rope_local_base = header.rope.local_base};
  return {};
}

Result<void> decode(std::span<const std::byte> file, const sluice_codec_options* options,
                    const integration::MutableKvRows& out, std::size_t side_size) {
  if (out.k == nullptr || out.v == nullptr) return Error{ErrorCode::kInvalidArgument, 0, "null rows"};
  SLUICE_ASSIGN(const Wish wish, wish_of(options));
  SLUICE_ASSIGN(const codec::ContainerView view, codec::ContainerView::open(kernel_table(), file));
  SLUICE_TRY(integration::KvPlanes::size_of(view.header().shape));
  if (side_size != view.header().shape.side_bytes().count()) {
    return Error{ErrorCode::kInvalidArgument, 0, "size of the rows"};
  }
  SLUICE_ASSIGN(Part level, integration::level_of(view));
  if (wish.coding.stages > codec::kNestedStages) return Error{ErrorCode::kInvalidArgument, 0, "stages of the level"};
  if (wish.coding.stages != 0) level = integration::last_stage(wish.coding.stages);
  if (!wish.coding.level.empty()) {
    const std::optional<Part> named = integration::plain_level(wish.coding.level);
    if (!named) return Error{ErrorCode::kNotFound, 0, "level"};
    level = *named;
  }
  const integration::MutableKvRows rows{view.header().shape, out.k, out.v};
  SLUICE_TRY(integration::decode_rows(kernel_table(), view, {.level = level, .profile = wish.profile}, rows));
  return {};
}

Result<void> rate(const Prompt& prompt, const integration::KvRows& rows, const sluice_codec_options* options,
                  sluice_bytes** json) {
  if (rows.k == nullptr || rows.v == nullptr || json == nullptr) {
    return Error{ErrorCode::kInvalidArgument, 0, "null rows"};
  }
  SLUICE_ASSIGN(const Wish wish, wish_of(options));
  SLUICE_ASSIGN(const std::vector<integration::UnitPlace> units,
                integration::units_of({.shape = prompt.shape,
                                       .rope = prompt.rope,
                                       .chunk_tokens = Tokens(wish.coding.chunk_tokens),
                                       .group_layers = integration::group_layers_of(wish.coding, wish.profile)}));
  SLUICE_ASSIGN(codec::RatePredictor predictor, codec::RatePredictor::open(kernel_table(), {.profile = wish.profile}));
  const std::size_t levels = wish.profile == nullptr ? 1 : wish.profile->contents().levels.size();
  std::vector<std::vector<std::uint64_t>> bytes(levels);
  Bytes lossless;
  const Tokens end = Tokens(prompt.first_position.value()) + prompt.shape.tokens;
  for (const integration::UnitPlace& unit : units) {
    const integration::KvSlice slice = rows.slice(unit.tokens, unit.layers);
    const TokenIndex first(prompt.first_position.value() + unit.tokens.first.value());
    SLUICE_TRY(predictor.measure(slice.view(), {prompt.rope, first, end, unit.layers.first}));
    lossless += predictor.lossless();
    for (std::size_t level = 0; level < levels; ++level) {
      const codec::StageSizes sizes = predictor.stages(level);
      bytes[level].resize(sizes.stages);
      for (std::size_t stage = 0; stage < sizes.stages; ++stage) bytes[level][stage] += sizes.all[stage].count();
    }
  }
  nlohmann::json told = {{"lossless_bytes", lossless.count()},
                         {"raw_bytes", prompt.shape.raw_bytes().count()},
                         {"levels", nlohmann::json::array()}};
  for (std::size_t level = 0; level < levels; ++level) {
    const std::string name = wish.profile == nullptr ? "nested" : wish.profile->contents().levels[level].name;
    told["levels"].push_back({{"level", name}, {"stage_bytes", bytes[level]}});
  }
  *json = text_bytes(told.dump());
  return {};
}

}  // namespace
}  // namespace sluice::capi

using sluice::capi::bytes_of;
using sluice::capi::guarded;

extern "C" {

// The C ABI gives every pointer, size and outcome by itself.
// NOLINTBEGIN(readability-function-size)

int32_t sluice_codec_encode(const sluice_kv_format* format, const void* k, const void* v,
                            const sluice_codec_options* options, sluice_bytes** file, sluice_error* error) {
  return guarded(error, [&]() -> sluice::Result<void> {
    SLUICE_ASSIGN(const sluice::capi::Prompt prompt, sluice::capi::prompt_of(format));
    return sluice::capi::encode(prompt, sluice::capi::rows_of(prompt, k, v), options, file);
  });
}

int32_t sluice_codec_encode_dump(const void* dump, size_t size, const sluice_codec_options* options,
                                 sluice_bytes** file, sluice_error* error) {
  return guarded(error, [&] { return sluice::capi::encode_dump(bytes_of(dump, size), options, file); });
}

int32_t sluice_codec_format(const void* file, size_t size, sluice_kv_format* format, sluice_error* error) {
  return guarded(error, [&] { return sluice::capi::tell_format(bytes_of(file, size), format); });
}

int32_t sluice_codec_decode(const void* file, size_t size, const sluice_codec_options* options, void* k, void* v,
                            size_t side_size, sluice_error* error) {
  return guarded(error, [&] {
    const sluice::integration::MutableKvRows out{{}, static_cast<std::byte*>(k), static_cast<std::byte*>(v)};
    return sluice::capi::decode(bytes_of(file, size), options, out, side_size);
  });
}

int32_t sluice_codec_inspect(const void* file, size_t size, const sluice_profile* profile, sluice_bytes** json,
                             sluice_error* error) {
  return guarded(error, [&]() -> sluice::Result<void> {
    SLUICE_ASSIGN(const nlohmann::json told,
                  sluice::integration::inspect_codec_file(sluice::capi::kernel_table(), bytes_of(file, size),
                                                          profile == nullptr ? nullptr : &profile->profile));
    *json = sluice::capi::text_bytes(told.dump());
    return {};
  });
}

int32_t sluice_codec_rate(const sluice_kv_format* format, const void* k, const void* v,
                          const sluice_codec_options* options, sluice_bytes** json, sluice_error* error) {
  return guarded(error, [&]() -> sluice::Result<void> {
    SLUICE_ASSIGN(const sluice::capi::Prompt prompt, sluice::capi::prompt_of(format));
    return sluice::capi::rate(prompt, sluice::capi::rows_of(prompt, k, v), options, json);
  });
}

// NOLINTEND(readability-function-size)

}  // extern "C"
