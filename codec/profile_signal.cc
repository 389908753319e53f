#include "codec/profile_signal.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"

namespace sluice::codec {

float token_scale(int token_class) {
  constexpr float kHalfOctave = 1.41421356F;
  const int octaves = token_class >> 1;
  return std::ldexp((token_class & 1) != 0 ? kHalfOctave : 1.0F, octaves);
}

ProfileSignal::ProfileSignal(const kernels::KernelTable& kernels, const Profile& profile)
    : kernels_(&kernels), profile_(&profile) {
  const ProfileContents& contents = profile.contents();
  matrix_.resize(contents.width() * contents.width());
  for (const float weight : contents.weights) inverse_.push_back(1.0F / weight);
}

void ProfileSignal::multiply_blocks(const SignalExtent& extent, std::span<const float> in, std::span<float> out) const {
  const std::size_t blocks = profile_->contents().blocks();
  const std::size_t rows = profile_->contents().block_width();
  for (std::size_t block = 0; block < blocks; ++block) {
    kernels_->transform(std::span(matrix_).subspan(block * rows * rows, rows * rows),
                        in.subspan(block * rows * extent.tokens, rows * extent.tokens), {rows, rows, extent.tokens},
                        out.subspan(block * rows * extent.tokens, rows * extent.tokens));
  }
}

void ProfileSignal::load_basis(std::size_t stream) {
  kernels_->dequantize(profile_->basis(stream), {.mean = 0, .step = kMatrixUnit},
                       std::span(matrix_).first(profile_->basis(stream).size()));
}

void ProfileSignal::forward(const SignalExtent& extent, std::span<float> x, std::span<float> y) {
  for (std::size_t channel = 0; channel < profile_->contents().width(); ++channel) {
    const float mean = means(extent.stream)[channel], weight = weights(extent.stream)[channel];
    for (float& value : x.subspan(channel * extent.tokens, extent.tokens)) value = (value - mean) * weight;
  }
  forward_weighted(extent, x, y);
}

void ProfileSignal::forward_weighted(const SignalExtent& extent, std::span<const float> x, std::span<float> y) {
  load_basis(extent.stream);
  std::fill(y.begin(), y.end(), 0.0F);
  multiply_blocks(extent, x, y);
}

void ProfileSignal::inverse(const SignalExtent& extent, std::span<const float> y, std::span<float> u) {
  const std::size_t rows = profile_->contents().block_width();
  load_basis(extent.stream);
  turned_.resize(matrix_.size());
  for (std::size_t first = 0; first < profile_->basis(extent.stream).size(); first += rows * rows) {
    kernels_->to_columns(std::span(matrix_).subspan(first, rows * rows),
                         {.tokens = rows, .width = rows, .stride = rows},
                         std::span(turned_).subspan(first, rows * rows));
  }
  matrix_.swap(turned_);
  std::fill(u.begin(), u.end(), 0.0F);
  multiply_blocks(extent, y, u);
}

void ProfileSignal::inverse_at_places(std::size_t stream, const IndexPlane& plane, std::span<float> u) {
  const std::size_t rows = profile_->contents().block_width();
  load_basis(stream);
  const kernels::IndexedCoefficients whole = coefficients(plane);
  const std::size_t size = rows * whole.steps.size();
  for (std::size_t block = 0; block < profile_->contents().blocks(); ++block) {
    kernels::IndexedCoefficients own = whole;
    own.indices = whole.indices.subspan(block * size, size);
    kernels_->synthesize(own, std::span(matrix_).subspan(block * rows * rows, rows * rows),
                         u.subspan(block * size, size));
  }
}

std::span<const float> ProfileSignal::inverse_weights(std::size_t stream) const {
  const std::size_t width = profile_->contents().width();
  return std::span(inverse_).subspan(stream * width, width);
}

std::span<const float> ProfileSignal::means(std::size_t stream) const {
  const std::size_t width = profile_->contents().width();
  return std::span(profile_->contents().means).subspan(stream * width, width);
}

std::span<const float> ProfileSignal::weights(std::size_t stream) const {
  const std::size_t width = profile_->contents().width();
  return std::span(profile_->contents().weights).subspan(stream * width, width);
}

kernels::IndexedCoefficients ProfileSignal::coefficients(const IndexPlane& plane) {
  const TokenGroups& groups = *plane.groups;
  const int lowest = profile_->contents().lowest_class;
  steps_.resize(groups.coded());
  for (std::size_t group = 0; group < groups.groups; ++group) {
    const float step = plane.step * token_scale(lowest + static_cast<int>(group));
    std::fill_n(steps_.begin() + static_cast<std::ptrdiff_t>(groups.first[group]), groups.count(group), step);
  }
  return {.indices = plane.indices, .steps = steps_, .unit_magnitude = plane.unit_magnitude};
}

void ProfileSignal::rebuild(const IndexPlane& plane, std::span<float> y) {
  places_.resize(y.size());
  kernels_->reconstruct(coefficients(plane), places_);
  kernels_->reorder(places_, plane.groups->place_of, y);
}

void ProfileSignal::predict(const SignalExtent& extent, std::span<const float> decoded, std::size_t first_stream,
                            std::span<float> y) {
  const ProfileContents& contents = profile_->contents();
  const std::size_t width = contents.width();
  const References sources = references(contents, extent.stream);
  const std::span<const std::int16_t> predictor = profile_->predictor(extent.stream);
  std::fill(y.begin(), y.end(), 0.0F);
  for (std::size_t number = 0; number < sources.count; ++number) {
    for (std::size_t row = 0; row < width; ++row) {
      const float scale = contents.predictor_scales[extent.stream * width + row] * kMatrixUnit;
      kernels_->dequantize(predictor.subspan((row * sources.count + number) * width, width), {.mean = 0, .step = scale},
                           std::span(matrix_).subspan(row * width, width));
    }
    SLUICE_ASSERT(sources.streams[number] >= first_stream);
    const std::size_t at = (sources.streams[number] - first_stream) * width * extent.tokens;
    kernels_->transform(matrix_, decoded.subspan(at, width * extent.tokens), {width, width, extent.tokens}, y);
  }
}

}  // namespace sluice::codec
