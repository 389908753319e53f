#include "codec/plane_columns.h"

#include <algorithm>

namespace sluice::codec {

std::span<float> StripScratch::of(std::uint64_t width) {
  constexpr std::uint64_t kTokens = std::max(kernels::kLoadStrip, 2 * kernels::kRestoreStrip);
  if (rows_.size() < kTokens * width) rows_.resize(kTokens * width);
  return std::span(rows_).first(kTokens * width);
}

void load_columns(const PlaneExtent& extent, const kernels::PlaneView& plane, std::span<float> columns,
                  StripScratch& scratch) {
  extent.kernels->load(plane, *extent.shape, {.range = extent.range}, columns, scratch.of(extent.width()));
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
