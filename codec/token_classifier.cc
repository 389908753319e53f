#include "codec/token_classifier.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice::codec {
namespace {

constexpr float kClip = 4.0F;
constexpr double kEndOffset = 8.0;
constexpr double kStartOffset = 4.0;
/// Classes are half octaves apart: two of them halve the step.
constexpr int kHalfStep = 2;

}  // namespace

void TokenClassifier::add_features(std::size_t stream, std::span<const float> columns, std::span<const float> weights) {
  const std::size_t width = contents_->width();
  const std::size_t tokens = sums_.size();
  for (std::size_t channel = 0; channel < width; ++channel) {
    kernels_->add_feature(columns.subspan(channel * tokens, tokens),
                          {.scale = contents_->classifier_scales[stream * width + channel],
                           .clip = kClip,
                           .weight = weights[channel],
                           .magnitude_weight = weights[width + channel]},
                          sums_);
  }
}

void TokenClassifier::classify(const LayerCoefficients& input, std::uint64_t newest, std::span<std::uint8_t> classes) {
  const std::size_t width = contents_->width();
  const int lowest = contents_->lowest_class;
  const int highest = lowest + contents_->token_classes - 1;
  sums_.assign(classes.size(), 0.0F);
  std::span<const float> row;
  if (!contents_->classifier.empty()) {
    const std::size_t size = 4 * width + 3;
    row = std::span(contents_->classifier).subspan(input.layer * size, size);
    add_features(2 * input.layer, input.k, row.first(2 * width));
    add_features(2 * input.layer + 1, input.v, row.subspan(2 * width, 2 * width));
    if (sums_.size() >= kLeastCentredTokens) {
      const float mean = std::accumulate(sums_.begin(), sums_.end(), 0.0F) / static_cast<float>(sums_.size());
      for (float& sum : sums_) sum -= mean;
    }
  }
  for (std::size_t token = 0; token < classes.size(); ++token) {
    const std::uint64_t position = input.first_position + token;
    const std::uint64_t left = input.request_tokens - std::min(input.request_tokens, position);
    float sum = sums_[token];
    if (!row.empty()) {
      sum += row[4 * width] * static_cast<float>(std::log(static_cast<double>(left) + kEndOffset));
      sum += row[4 * width + 1] * static_cast<float>(std::log(static_cast<double>(position) + kStartOffset));
      sum += row[4 * width + 2];
    }
    const float clamped = std::clamp(sum, static_cast<float>(lowest), static_cast<float>(highest));
    int chosen = static_cast<int>(std::lround(clamped));
    if (left <= newest) chosen = std::max(chosen - kHalfStep, lowest);
    classes[token] = static_cast<std::uint8_t>(chosen - lowest);
  }
}

}  // namespace sluice::codec
