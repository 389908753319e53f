#include "integration/kv_container.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "codec/decoder.h"
#include "codec/encoder.h"
#include "codec/frame.h"

namespace sluice::integration {
namespace {

constexpr std::array kAlone = {Part::kRaw, Part::kLossless, Part::kInt8};
/// Levels from the best to the worst.
constexpr std::array kBestFirst = {Part::kRaw,         Part::kLossless, Part::kRefinement2,
                                   Part::kRefinement1, Part::kInt8,     Part::kBase};

// Precondition: chunk_tokens and group_layers are not zero.
std::vector<UnitPlace> list_units(const codec::ContainerHeader& header) {
  std::vector<UnitPlace> units;
  const std::uint64_t tokens = header.shape.tokens.count();
  const std::uint64_t layers = header.shape.layers.count();
  for (std::uint64_t token = 0; token < tokens; token += header.chunk_tokens.count()) {
    for (std::uint64_t layer = 0; layer < layers; layer += header.group_layers.count()) {
      units.push_back(
          {ChunkIndex(static_cast<std::uint32_t>(token / header.chunk_tokens.count())),
           LayerGroupIndex(static_cast<std::uint32_t>(layer / header.group_layers.count())),
           {TokenIndex(token), std::min(header.chunk_tokens, Tokens(tokens - token))},
           {LayerIndex(static_cast<std::uint32_t>(layer)), std::min(header.group_layers, Layers(layers - layer))}});
    }
  }
  return units;
}

Result<std::uint64_t> count_units(const codec::ContainerHeader& header) {
  const auto pieces = [](std::uint64_t whole, std::uint64_t piece) { return whole / piece + (whole % piece != 0); };
  if (header.chunk_tokens.is_zero() || header.group_layers.is_zero()) {
    return Error{ErrorCode::kInvalidArgument, 0, "chunk or group of zero"};
  }
  const std::uint64_t chunks = pieces(header.shape.tokens.count(), header.chunk_tokens.count());
  const std::uint64_t groups = pieces(header.shape.layers.count(), header.group_layers.count());
  if (chunks > codec::kMaxContainerFrames / std::max<std::uint64_t>(groups, 1)) {
    return Error{ErrorCode::kInvalidArgument, 0, "units of a container"};
  }
  return chunks * groups;
}

bool has_all(const codec::ContainerView& file, std::span<const UnitPlace> units, Part level) {
  return std::ranges::all_of(units, [&](const UnitPlace& unit) {
    return std::ranges::all_of(parts_of_level(level), [&](Part part) {
      return file.find({unit.chunk, unit.group, part}).has_value();
    });
  });
}

/// Adds units to a container, each with the parts of one level.
class UnitWriter {
 public:
  UnitWriter(codec::Encoder& encoder, Part level, codec::ContainerWriter& writer)
      : encoder_(encoder), level_(level), writer_(writer) {}

  /// `key` names the unit; its part is set here.
  Result<void> add(const kernels::UnitView& view, const codec::UnitContext& context, codec::FrameKey key) {
    return codec::is_stage(level_) ? add_stages(view, context, key) : add_alone(view, context, key);
  }

 private:
  Result<void> add_alone(const kernels::UnitView& view, const codec::UnitContext& context, codec::FrameKey key) {
    const std::span<std::byte> out = room(codec::Encoder::max_encoded_size(view.shape, level_));
    const Result<Bytes> size = level_ == Part::kRaw        ? encoder_.encode_raw(view, context, out)
                               : level_ == Part::kLossless ? encoder_.encode_lossless(view, context, out)
                                                           : encoder_.encode_int8(view, context, out);
    if (!size) return size.error();
    key.part = level_;
    return writer_.add(key, out.first(size->count()));
  }

  Result<void> add_stages(const kernels::UnitView& view, const codec::UnitContext& context, codec::FrameKey key) {
    const std::span<std::byte> out = room(codec::Encoder::max_nested_size(view.shape));
    SLUICE_ASSIGN(const codec::EncodedUnit encoded, encoder_.encode(view, context, out));
    const std::span<const Part> wanted = parts_of_level(level_);
    if (encoded.stages < wanted.size()) return Error{ErrorCode::kInvalidArgument, 0, "stages of the level"};
    for (const codec::EncodedPart& part : encoded.parts().first(wanted.size())) {
      key.part = part.part;
      SLUICE_TRY(writer_.add(key, out.subspan(part.offset.count(), part.size.count())));
    }
    return {};
  }

  /// Grows to what the largest unit needs.
  std::span<std::byte> room(Bytes most) {
    if (scratch_.size() < most.count()) scratch_.resize(most.count());
    return scratch_;
  }

  codec::Encoder& encoder_;
  Part level_;
  codec::ContainerWriter& writer_;
  std::vector<std::byte> scratch_;
};

}  // namespace

Result<std::vector<UnitPlace>> units_of(const codec::ContainerHeader& header) {
  SLUICE_TRY(count_units(header));
  if (header.chunk_tokens.count() > codec::kMaxTokens) return Error{ErrorCode::kInvalidArgument, 0, "chunk tokens"};
  return list_units(header);
}

std::span<const Part> parts_of_level(Part level) {
  const std::span<const Part> stages = codec::kStageParts;
  const auto last = std::ranges::find(stages, level);
  if (last != stages.end()) return stages.first(static_cast<std::size_t>(last - stages.begin()) + 1);
  const auto alone = std::ranges::find(kAlone, level);
  SLUICE_ASSERT(alone != kAlone.end());
  return std::span(alone, 1);
}

Result<Part> level_of(const codec::ContainerView& file) {
  SLUICE_TRY(count_units(file.header()));
  const std::vector<UnitPlace> units = list_units(file.header());
  for (const Part level : kBestFirst) {
    if (has_all(file, units, level)) return level;
  }
  return Error{ErrorCode::kNotFound, 0, "units of the container"};
}

Result<std::vector<std::byte>> encode_rows(const kernels::KernelTable& kernels, const KvRows& rows,
                                           const KvContainerOptions& options) {
  const codec::ContainerHeader header{.shape = rows.shape,
                                      .rope = options.rope,
                                      .chunk_tokens = options.chunk_tokens,
                                      .group_layers = options.group_layers,
                                      .model = options.model,
                                      .prefix = {}};
  SLUICE_ASSIGN(const std::vector<UnitPlace> units, units_of(header));
  SLUICE_ASSIGN(codec::Encoder encoder,
                codec::Encoder::open(kernels, {.profile = options.profile, .level = options.profile_level}));
  codec::ContainerWriter writer(header);
  UnitWriter unit_writer(encoder, options.level, writer);
  for (const UnitPlace& unit : units) {
    const KvSlice slice = rows.slice(unit.tokens, unit.layers);
    const codec::UnitContext context{options.rope,
                                     TokenIndex(options.first_position.value() + unit.tokens.first.value()),
                                     Tokens(options.first_position.value()) + rows.shape.tokens, unit.layers.first};
    SLUICE_TRY(unit_writer.add(slice.view(), context, {unit.chunk, unit.group}));
  }
  return writer.finish(kernels);
}

Result<TokenIndex> decode_rows(const kernels::KernelTable& kernels, const codec::ContainerView& file,
                               const KvDecoding& how, const MutableKvRows& rows) {
  const codec::ContainerHeader& header = file.header();
  SLUICE_ASSERT(rows.shape == header.shape);
  SLUICE_TRY(count_units(header));
  const std::vector<UnitPlace> units = list_units(header);
  if (units.empty() || !has_all(file, units, how.level))
    return Error{ErrorCode::kNotFound, 0, "units of the container"};
  const std::span<const Part> parts = parts_of_level(how.level);
  const auto first_frame = file.find({units.front().chunk, units.front().group, parts.front()});
  SLUICE_ASSIGN(const codec::FrameView first, codec::parse_frame(kernels, *first_frame));
  SLUICE_ASSIGN(codec::Decoder decoder, codec::Decoder::open(kernels, how.profile));
  const TokenIndex start = first.header.first_position;
  for (const UnitPlace& unit : units) {
    std::array<std::span<const std::byte>, codec::kNestedStages> frames;
    for (std::size_t i = 0; i < parts.size(); ++i) frames[i] = *file.find({unit.chunk, unit.group, parts[i]});
    const MutableKvSlice slice = rows.slice(unit.tokens, unit.layers);
    const codec::UnitContext context{header.rope, TokenIndex(start.value() + unit.tokens.first.value()),
                                     Tokens(start.value()) + header.shape.tokens, unit.layers.first};
    SLUICE_TRY(decoder.decode(std::span(frames).first(parts.size()), slice.view().shape, context, slice.view()));
  }
  return start;
}

Result<DecodedPlanes> decode_planes(const kernels::KernelTable& kernels, const codec::ContainerView& file,
                                    const KvDecoding& how) {
  SLUICE_ASSIGN(const Bytes size, KvPlanes::size_of(file.header().shape));
  if (size > how.most) return Error{ErrorCode::kNoMemory, 0, "planes of the container"};
  SLUICE_ASSIGN(KvPlanes planes, KvPlanes::allocate(file.header().shape));
  SLUICE_ASSIGN(const TokenIndex start, decode_rows(kernels, file, how, planes.mutable_rows()));
  return DecodedPlanes{std::move(planes), start};
}

}  // namespace sluice::integration
