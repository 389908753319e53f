#include "kernels/load.h"

#include <algorithm>

#include "base/assert.h"

namespace sluice::kernels {
namespace {

void turn_back(RotateFn* rotate, const KvShape& shape, const LoadColumns& load, std::span<float> columns) {
  const std::uint64_t dim = shape.head_dim.count(), tokens = load.range.count;
  for (std::uint64_t head = 0; head < shape.kv_heads.count(); ++head) {
    for (std::uint64_t pair = 0; pair < load.pairs(); ++pair) {
      const ChannelPair channels = rope_pair(*load.rope, pair);
      const std::span<const float> cosine = load.angles->cosine, sine = load.angles->sine;
      rotate({.first = columns.subspan((head * dim + channels.first) * tokens, tokens),
              .second = columns.subspan((head * dim + channels.second) * tokens, tokens),
              .cosine = cosine.subspan(pair * tokens, tokens),
              .sine = sine.subspan(pair * tokens, tokens),
              .sine_sign = -1.0F});
    }
  }
}

}  // namespace

void check_load(const KvShape& shape, const LoadColumns& load, std::span<const float> columns,
                std::span<const float> scratch) {
  const std::uint64_t width = shape.row_values();
  SLUICE_ASSERT(scratch.size() >= kLoadStrip * width && columns.size() == width * load.range.count);
  SLUICE_ASSERT(load.means.size() == load.weights.size() && (load.means.empty() || load.means.size() == width));
  SLUICE_ASSERT(load.pairs() == 0 || load.angles->tokens == load.range.count);
}

void load_by_steps(const LoadSteps& steps, const PlaneView& plane, const KvShape& shape, const LoadColumns& load,
                   std::span<float> columns, std::span<float> scratch) {
  check_load(shape, load, columns, scratch);
  const std::uint64_t width = shape.row_values(), tokens = load.range.count;
  for (std::uint64_t done = 0; done < tokens; done += kLoadStrip) {
    const std::uint64_t count = std::min(kLoadStrip, tokens - done);
    const std::span<float> rows = scratch.first(count * width);
    steps.gather(plane, shape, {load.range.first + done, count}, rows);
    steps.to_columns(rows, {.tokens = count, .width = width, .first = done, .stride = tokens}, columns);
  }
  turn_back(steps.rotate, shape, load, columns);
  for (std::uint64_t channel = 0; channel < load.means.size(); ++channel) {
    const float mean = load.means[channel], weight = load.weights[channel];
    for (float& value : columns.subspan(channel * tokens, tokens)) value = (value - mean) * weight;
  }
}

}  // namespace sluice::kernels
