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

void ProfileSignal::forward(const SignalExtent& extent, std::span<float> x, std::span<float> y) {
  const ProfileContents& contents = profile_->contents();
  const std::size_t width = contents.width();
  const std::span<const std::int16_t> basis = profile_->basis(extent.stream);
  for (std::size_t i = 0; i < basis.size(); ++i) matrix_[i] = static_cast<float>(basis[i]) * kMatrixUnit;
  for (std::size_t channel = 0; channel < width; ++channel) {
    const float mean = contents.means[extent.stream * width + channel];
    const float weight = contents.weights[extent.stream * width + channel];
    for (float& value : x.subspan(channel * extent.tokens, extent.tokens)) value = (value - mean) * weight;
  }
  std::fill(y.begin(), y.end(), 0.0F);
  multiply_blocks(extent, x, y);
}

void ProfileSignal::inverse(const SignalExtent& extent, std::span<const float> y, std::span<float> x) {
  const ProfileContents& contents = profile_->contents();
  const std::size_t width = contents.width();
  const std::size_t rows = contents.block_width();
  const std::span<const std::int16_t> basis = profile_->basis(extent.stream);
  for (std::size_t first = 0; first < basis.size(); first += rows * rows) {
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t column = 0; column < rows; ++column) {
        matrix_[first + column * rows + row] = static_cast<float>(basis[first + row * rows + column]) * kMatrixUnit;
      }
    }
  }
  std::fill(x.begin(), x.end(), 0.0F);
  multiply_blocks(extent, y, x);
  for (std::size_t channel = 0; channel < width; ++channel) {
    const float mean = contents.means[extent.stream * width + channel];
    const float inverse = inverse_[extent.stream * width + channel];
    for (float& value : x.subspan(channel * extent.tokens, extent.tokens)) value = value * inverse + mean;
  }
}

void ProfileSignal::rebuild(const IndexPlane& plane, std::span<float> y) {
  const TokenGroups& groups = *plane.groups;
  const std::size_t tokens = groups.coded();
  const int lowest = profile_->contents().lowest_class;
  places_.resize(tokens);
  for (std::size_t channel = 0; channel < profile_->contents().width(); ++channel) {
    const std::span<const std::int16_t> indices = plane.indices.subspan(channel * tokens, tokens);
    for (std::size_t group = 0; group < groups.groups; ++group) {
      const float step = plane.step * token_scale(lowest + static_cast<int>(group));
      kernels_->dequantize(indices.subspan(groups.first[group], groups.count(group)), {.mean = 0, .step = step},
                           std::span(places_).subspan(groups.first[group], groups.count(group)));
    }
    float* const column = y.data() + channel * tokens;
    for (std::size_t place = 0; place < tokens; ++place) {
      const bool is_unit = indices[place] == 1 || indices[place] == -1;
      column[groups.token_at[place]] = places_[place] * (is_unit ? plane.unit_magnitude : 1.0F);
    }
  }
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
      const std::int16_t* const from = predictor.data() + (row * sources.count + number) * width;
      for (std::size_t column = 0; column < width; ++column) {
        matrix_[row * width + column] = static_cast<float>(from[column]) * scale;
      }
    }
    SLUICE_ASSERT(sources.streams[number] >= first_stream);
    const std::size_t at = (sources.streams[number] - first_stream) * width * extent.tokens;
    kernels_->transform(matrix_, decoded.subspan(at, width * extent.tokens), {width, width, extent.tokens}, y);
  }
}

}  // namespace sluice::codec
