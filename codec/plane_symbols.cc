#include "codec/plane_symbols.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sluice::codec {
namespace {

// An index that escapes is 16 bits, and the finest one is nine times the base's: this keeps all of them exact.
constexpr float kLargestBaseIndex = 1800.0F;
constexpr float kSmallestStep = 0x1p-100F;

// Variance around the mean as it is sent, not as it is.
float sent_variance(const kernels::ColumnMoments& moments, std::uint16_t mean) {
  const float shift = moments.mean - from_bf16(mean);
  return moments.variance + shift * shift;
}

Result<float> head_step(const PlaneInput& input, const PlaneSymbols& out, std::size_t head) {
  const std::size_t dim = input.layout.width / input.layout.heads;
  float sum = 0;
  float largest = 0;
  for (std::size_t channel = head * dim; channel < (head + 1) * dim; ++channel) {
    const kernels::ColumnMoments& moments = out.moments[channel];
    if (!moments.finite) return Error{ErrorCode::kUnsupported, 0, "value that is not finite"};
    sum += sent_variance(moments, out.means[channel]);
    largest = std::max(largest, moments.max_magnitude + std::fabs(moments.mean - from_bf16(out.means[channel])));
  }
  const float rms = std::sqrt(sum / static_cast<float>(dim));
  const float step = std::max({input.relative_step * rms, largest / kLargestBaseIndex, kSmallestStep});
  if (!std::isfinite(sum) || !std::isfinite(step * 2)) return Error{ErrorCode::kUnsupported, 0, "value too large"};
  return from_bf16(to_bf16(step));
}

void append_escapes(std::span<const std::uint8_t> symbols, std::uint32_t largest, std::span<const std::int16_t> indices,
                    std::vector<std::int16_t>& escapes) {
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    if (symbols[i] == 2 * largest + 1) escapes.push_back(indices[i]);
  }
}

struct RunInput {
  std::span<const float> values;
  std::size_t offset = 0;
  float mean = 0;
  float step = 1;
  std::size_t class_index = 0;
};

// Quantises one run of one column at all stages and folds it to symbols.
void fold_run(const kernels::KernelTable& kernels, const StaticTables& tables, const RunInput& run, PlaneSymbols& out) {
  const std::size_t count = run.values.size();
  if (count == 0) return;
  for (std::size_t stage = 0; stage < kNestedStages; ++stage) {
    const float scale = kStageScale[stage] / run.step;
    kernels.quantize(run.values, {.mean = run.mean, .scale = scale}, std::span(out.indices[stage]).first(count));
  }
  const std::span<const std::int16_t> base = std::span(out.indices[0]).first(count);
  const std::span<std::uint8_t> symbols = std::span(out.symbols[0]).subspan(run.offset, count);
  const std::uint32_t largest = tables.largest[run.class_index];
  if (kernels.fold(base, largest, symbols) != 0) append_escapes(symbols, largest, base, out.escapes);
  for (std::size_t stage = 1; stage < kNestedStages; ++stage) {
    kernels.fold_refinement(std::span(out.indices[stage - 1]).first(count), std::span(out.indices[stage]).first(count),
                            std::span(out.symbols[stage]).subspan(run.offset, count),
                            std::span(out.contexts[stage - 1]).subspan(run.offset, count));
  }
}

void grow(const NestedLayout& layout, PlaneSymbols& out) {
  out.steps.resize(layout.heads);
  out.means.resize(layout.width);
  out.classes.resize(layout.width);
  out.moments.resize(layout.width);
  for (auto& symbols : out.symbols) symbols.resize(layout.symbols());
  for (auto& contexts : out.contexts) contexts.resize(layout.symbols());
  for (auto& indices : out.indices) indices.resize(layout.runs.coded());
  out.escapes.clear();
}

}  // namespace

std::uint16_t to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U); }

Result<void> analyse_plane(const kernels::KernelTable& kernels, const StaticTables& tables, const PlaneInput& input,
                           PlaneSymbols& out) {
  const NestedLayout& layout = input.layout;
  const std::size_t coded = layout.runs.coded();
  grow(layout, out);
  for (std::size_t channel = 0; channel < layout.width; ++channel) {
    out.moments[channel] = kernels.moments(input.columns.subspan(channel * coded, coded));
    out.means[channel] = to_bf16(out.moments[channel].mean);
  }
  const std::size_t dim = layout.width / layout.heads;
  for (std::size_t head = 0; head < layout.heads; ++head) {
    SLUICE_ASSIGN(const float step, head_step(input, out, head));
    out.steps[head] = to_bf16(step);
    for (std::size_t channel = head * dim; channel < (head + 1) * dim; ++channel) {
      const float mean = from_bf16(out.means[channel]);
      const float variance = sent_variance(out.moments[channel], out.means[channel]);
      const float sigma = std::sqrt(variance);
      const float ratio = sigma > 0 ? out.moments[channel].mean_magnitude / sigma : 1.0F;
      const std::size_t ordinary = choose_class(variance / step / step, ratio);
      out.classes[channel] = static_cast<std::uint8_t>(ordinary);
      const std::size_t offset = channel * coded;
      const std::span<const float> column = input.columns.subspan(offset, coded);
      fold_run(kernels, tables, {column.first(layout.runs.ordinary), offset, mean, step, ordinary}, out);
      fold_run(
          kernels, tables,
          {column.subspan(layout.runs.ordinary), offset + layout.runs.ordinary, mean, step / 2, fine_class(ordinary)},
          out);
    }
  }
  return {};
}

}  // namespace sluice::codec
