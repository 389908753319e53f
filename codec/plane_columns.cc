#include "codec/plane_columns.h"

#include <algorithm>

namespace sluice::codec {
namespace {

// Tokens that are transposed at once: 32 rows of 192 fp32 channels stay in the first-level cache.
constexpr std::uint64_t kStripTokens = 32;

template <typename Visit>
void for_each_strip(const PlaneExtent& extent, StripScratch& scratch, Visit visit) {
  const std::uint64_t width = extent.width();
  if (scratch.rows.size() < kStripTokens * width) scratch.rows.resize(kStripTokens * width);
  for (std::uint64_t first = 0; first < extent.range.count; first += kStripTokens) {
    const std::uint64_t tokens = std::min(kStripTokens, extent.range.count - first);
    const kernels::TransposeExtent transpose{
        .tokens = tokens, .width = width, .first = first, .stride = extent.range.count};
    visit(transpose, kernels::TokenRange{extent.range.first + first, tokens},
          std::span(scratch.rows).first(tokens * width));
  }
}

}  // namespace

void load_columns(const PlaneExtent& extent, const kernels::PlaneView& plane, std::span<float> columns,
                  StripScratch& scratch) {
  for_each_strip(extent, scratch, [&](const kernels::TransposeExtent& transpose, kernels::TokenRange range, auto rows) {
    extent.kernels->gather(plane, *extent.shape, range, rows);
    extent.kernels->to_columns(rows, transpose, columns);
  });
}

void store_columns(const PlaneExtent& extent, std::span<const float> columns, const kernels::MutablePlaneView& plane,
                   StripScratch& scratch) {
  for_each_strip(extent, scratch, [&](const kernels::TransposeExtent& transpose, kernels::TokenRange range, auto rows) {
    extent.kernels->to_rows(columns, transpose, rows);
    extent.kernels->scatter(rows, *extent.shape, range, plane);
  });
}

void rotate_columns(const PlaneExtent& extent, const RopeTurn& turn, std::span<float> columns) {
  const std::uint64_t tokens = extent.range.count;
  const std::uint64_t head_dim = extent.shape->head_dim.count();
  const std::span<const float> cosine = turn.angles->cosine;
  const std::span<const float> sine = turn.angles->sine;
  for (std::uint64_t head = 0; head < extent.shape->kv_heads.count(); ++head) {
    for (std::uint64_t pair = 0; pair < turn.angles->pairs; ++pair) {
      const kernels::ChannelPair channels = kernels::rope_pair(*turn.rope, pair);
      extent.kernels->rotate({.first = columns.subspan((head * head_dim + channels.first) * tokens, tokens),
                              .second = columns.subspan((head * head_dim + channels.second) * tokens, tokens),
                              .cosine = cosine.subspan(pair * tokens, tokens),
                              .sine = sine.subspan(pair * tokens, tokens),
                              .sine_sign = turn.sine_sign});
    }
  }
}

void UnitRotation::start(const kernels::RopeSpec& rope, LayerIndex first_layer, std::uint64_t first_position,
                         std::uint64_t tokens) {
  rope_ = rope;
  first_layer_ = first_layer.value();
  const std::uint64_t period = rope.local_period;
  all_.rope = kernels::rope_of_layer(rope, period == 0 ? 0 : period - 1);
  kernels::fill_rope_angles(all_.rope, first_position, tokens, all_.angles);
  if (period == 0) return;
  local_.rope = kernels::rope_of_layer(rope, 0);
  kernels::fill_rope_angles(local_.rope, first_position, tokens, local_.angles);
}

RopeTurn UnitRotation::turn(std::size_t layer, float sine_sign) const {
  const bool is_local = rope_.local_period != 0 && (first_layer_ + layer + 1) % rope_.local_period != 0;
  const Angles& own = is_local ? local_ : all_;
  return {.rope = &own.rope, .angles = &own.angles, .sine_sign = sine_sign};
}

}  // namespace sluice::codec
