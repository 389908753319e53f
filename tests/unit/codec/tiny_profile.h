// A small made-up profile for codec tests: random rotations as bases, classes that fit a unit variance. Seeded.
#pragma once

#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "codec/coefficient_class.h"
#include "codec/profile.h"

namespace sluice::codec {

struct TinyProfile {
  Tier tier = Tier::kLayer;
  Layers layers = Layers(2);
  Heads kv_heads = Heads(2);
  HeadDim head_dim = HeadDim(16);
  kernels::RopeSpec rope{.style = kernels::RopeStyle::kNone, .dims = 0, .base = 0.0, .scaling = {}};
  std::uint8_t layers_back = 0;
  std::uint8_t intra_every = 0;
  std::uint32_t seed = 1;
};

/// The one of tests/golden/predicted, and of the fuzz target of coded frames.
inline constexpr TinyProfile kGoldenPrediction{.tier = Tier::kPredicted,
                                               .layers = Layers(3),
                                               .kv_heads = Heads(1),
                                               .head_dim = HeadDim(12),
                                               .layers_back = 1,
                                               .intra_every = 2};

/// Rows of a random rotation, in kMatrixUnit: a product of plane rotations, so orthonormal up to rounding.
inline void append_rotation(std::size_t size, std::mt19937& random, std::vector<std::int16_t>& out) {
  SLUICE_ASSERT(size > 1);
  std::vector<double> matrix(size * size);
  for (std::size_t i = 0; i < size; ++i) matrix[i * size + i] = 1;
  std::uniform_real_distribution<double> angle(-3, 3);
  for (std::size_t turn = 0; turn < 3 * size; ++turn) {
    const std::size_t first = random() % size, second = (first + 1 + random() % (size - 1)) % size;
    const double cosine = std::cos(angle(random)), sine = std::sqrt(1 - cosine * cosine);
    for (std::size_t c = 0; c < size; ++c) {
      const double a = matrix[first * size + c], b = matrix[second * size + c];
      matrix[first * size + c] = cosine * a - sine * b;
      matrix[second * size + c] = sine * a + cosine * b;
    }
  }
  for (const double value : matrix) {
    out.push_back(static_cast<std::int16_t>(std::lround(std::min(value, 1 - 0x1p-15) * 0x1p15)));
  }
}

/// Token classes -2..0 with a classifier that looks at one coefficient and at the position. Levels: "base" (nested, 3
/// stages), "fine" (one stage, a quarter of the step).
inline ProfileContents tiny_contents(const TinyProfile& tiny) {
  std::mt19937 random(tiny.seed);
  ProfileContents contents;
  contents.tier = tiny.tier;
  contents.layers = tiny.layers;
  contents.kv_heads = tiny.kv_heads;
  contents.head_dim = tiny.head_dim;
  contents.rope = tiny.rope;
  contents.layers_back = tiny.layers_back;
  contents.intra_every = tiny.intra_every;
  contents.lowest_class = -2;
  contents.token_classes = 3;
  std::uniform_real_distribution<float> spread(-1, 1);
  const std::size_t width = contents.width();
  for (std::size_t layer = 0; layer < contents.layers.count(); ++layer) {
    for (const unsigned frequency : {16U, 80U, 160U}) {
      contents.class_frequencies.push_back(static_cast<std::uint16_t>(frequency));
    }
  }
  for (std::size_t i = 0; i < contents.streams() * width; ++i) {
    contents.means.push_back(spread(random));
    contents.weights.push_back(std::exp2(spread(random)));
  }
  for (std::size_t block = 0; block < contents.streams() * contents.blocks(); ++block) {
    append_rotation(contents.block_width(), random, contents.bases);
  }
  for (std::size_t stream = 0; stream < contents.streams(); ++stream) {
    const std::size_t numbers = references(contents, stream).count * width * width;
    for (std::size_t i = 0; i < numbers; ++i) {
      contents.predictors.push_back(static_cast<std::int16_t>(spread(random) * 0x1p13F));
    }
    if (tiny.tier == Tier::kPredicted) contents.predictor_scales.insert(contents.predictor_scales.end(), width, 0.5F);
  }
  for (const auto& [name, step, stages] : {std::tuple("base", 1.0F, 3U), std::tuple("fine", 0.25F, 1U)}) {
    ProfileLevel level{.name = name, .step = step, .unit_magnitude = 1.02F, .stages = Stages(stages)};
    for (std::size_t i = 0; i < stages * contents.streams() * contents.token_classes * width; ++i) {
      const bool is_base = i < contents.streams() * contents.token_classes * width;
      // All kinds: silent, narrow, fitting, and wide ones.
      const std::uint8_t wide = wide_class(3, kFirstWideSpread + i % kWideSpreads);
      level.classes.push_back(i % 11 == 0              ? kSilentClass
                              : i % 13 == 0 && is_base ? wide
                                                       : static_cast<std::uint8_t>(94 + i % 24));
    }
    contents.levels.push_back(std::move(level));
  }
  contents.classifier_scales.assign(contents.streams() * width, 1.0F);
  contents.classifier.assign(contents.layers.count() * (4 * width + 3), 0.0F);
  for (std::size_t layer = 0; layer < contents.layers.count(); ++layer) {
    float* const row = contents.classifier.data() + layer * (4 * width + 3);
    row[width] = -1.0F;           // |first coefficient of K|
    row[4 * width] = 0.1F;        // the end
    row[4 * width + 2] = -0.25F;  // constant
  }
  return contents;
}

}  // namespace sluice::codec
