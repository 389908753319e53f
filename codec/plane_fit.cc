#include "codec/plane_fit.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sluice::codec {
namespace {

// An index that escapes is 16 bits, and the finest one is nine times the base's: this keeps all of them exact.
constexpr float kLargestBaseIndex = 1800.0F;
constexpr float kSmallestStep = 0x1p-100F;

Result<float> head_step(const PlaneInput& input, const PlaneFit& out, std::size_t head) {
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

struct RunInput {
  std::span<const float> values;
  std::size_t offset = 0;
  float mean = 0;
  float step = 1;
};

// Quantises one run of one column at all stages.
void quantize_run(const kernels::KernelTable& kernels, const RunInput& run, PlaneFit& out) {
  const auto part = [&](std::size_t stage) {
    return std::span(out.indices[stage]).subspan(run.offset, run.values.size());
  };
  kernels.quantize(run.values, {.mean = run.mean, .scale = kFinestScale / run.step}, {part(0), part(1), part(2)});
}

}  // namespace

std::uint16_t to_bf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U); }

float sent_variance(const kernels::ColumnMoments& moments, std::uint16_t mean) {
  const float shift = moments.mean - from_bf16(mean);
  return moments.variance + shift * shift;
}

Result<void> fit_channels(const kernels::KernelTable& kernels, const PlaneInput& input, PlaneFit& out) {
  const NestedLayout& layout = input.layout;
  const std::size_t coded = layout.runs.coded();
  out.steps.resize(layout.heads);
  out.means.resize(layout.width);
  out.classes.resize(2 * layout.width);
  out.moments.resize(layout.width);
  for (std::size_t channel = 0; channel < layout.width; ++channel) {
    out.moments[channel] = kernels.moments(input.columns.subspan(channel * coded, coded));
    out.means[channel] = to_bf16(out.moments[channel].mean);
  }
  const std::size_t dim = layout.width / layout.heads;
  for (std::size_t head = 0; head < layout.heads; ++head) {
    SLUICE_ASSIGN(const float step, head_step(input, out, head));
    out.steps[head] = to_bf16(step);
    for (std::size_t channel = head * dim; channel < (head + 1) * dim; ++channel) {
      const float variance = sent_variance(out.moments[channel], out.means[channel]);
      const float sigma = std::sqrt(variance);
      const float ratio = sigma > 0 ? out.moments[channel].mean_magnitude / sigma : 1.0F;
      const std::size_t ordinary = choose_class(variance / step / step, ratio);
      out.classes[channel] = static_cast<std::uint8_t>(ordinary);
      out.classes[layout.width + channel] = static_cast<std::uint8_t>(fine_class(ordinary));
    }
  }
  return {};
}

Result<void> fit_plane(const kernels::KernelTable& kernels, const PlaneInput& input, PlaneFit& out) {
  SLUICE_TRY(fit_channels(kernels, input, out));
  const NestedLayout& layout = input.layout;
  const std::size_t coded = layout.runs.coded();
  const std::size_t dim = layout.width / layout.heads;
  SLUICE_ASSERT(dim > 0);
  for (auto& indices : out.indices) indices.resize(layout.indices());
  for (std::size_t channel = 0; channel < layout.width; ++channel) {
    const float mean = from_bf16(out.means[channel]);
    const float step = from_bf16(out.steps[channel / dim]);
    const std::size_t offset = channel * coded;
    const std::span<const float> column = input.columns.subspan(offset, coded);
    quantize_run(kernels, {column.first(layout.runs.ordinary), offset, mean, step}, out);
    quantize_run(kernels, {column.subspan(layout.runs.ordinary), offset + layout.runs.ordinary, mean, step / 2}, out);
  }
  return {};
}

}  // namespace sluice::codec
