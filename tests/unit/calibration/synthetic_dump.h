// A made-up model's dump with known statistics: correlated channels, RoPE on K, gradients whose size depends on the
// token. Seeded: same seed, same bytes.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "codec/calibration/calibrate.h"
#include "kernels/rope.h"
#include "kernels/table.h"

namespace sluice::codec::calibration {

/// What to make up.
struct SyntheticOptions {
  std::uint64_t layers = 2, tokens = 160, kv_heads = 2, head_dim = 8;
  std::uint32_t seed = 1;
  std::uint64_t gradient_rows = 2;
  float scale = 1;     ///< of values; gradients by its inverse
  float key_bias = 0;  ///< on every third channel of K before RoPE
  float correlation = 0.9F;
  bool with_gradients = true;
  kernels::RopeSpec rope{kernels::RopeStyle::kHalves, 8, 10000.0};
};

/// Owns the numbers of one dump.
class SyntheticDump {
 public:
  explicit SyntheticDump(const SyntheticOptions& options) : options_(options), random_(options.seed) {
    dump_.name = "synthetic" + std::to_string(options.seed);
    dump_.shape = {Layers(options.layers), Tokens(options.tokens), Heads(options.kv_heads), HeadDim(options.head_dim),
                   kernels::DType::kF32};
    dump_.rope = options.rope;
    dump_.gradient_tokens = dump_.shape.tokens;
    dump_.gradient_rows = options.with_gradients ? options.gradient_rows : 0;
    fill_values();
    if (options.with_gradients) fill_gradients();
    point();
  }
  SyntheticDump(const SyntheticDump&) = delete;
  SyntheticDump& operator=(const SyntheticDump&) = delete;

  const Dump& dump() const { return dump_; }
  Dump& editable() { return dump_; }
  std::vector<float> k, v, gk, gv;

  /// Once vectors were changed or resized.
  void point() {
    dump_.k = {kernels::DType::kF32, std::as_bytes(std::span(k))};
    dump_.v = {kernels::DType::kF32, std::as_bytes(std::span(v))};
    dump_.gk = {kernels::DType::kF32, std::as_bytes(std::span(gk))};
    dump_.gv = {kernels::DType::kF32, std::as_bytes(std::span(gv))};
  }

 private:
  std::size_t width() const { return options_.kv_heads * options_.head_dim; }

  /// One token's channels, an AR(1) sequence across channels; the first channel says how important the token is.
  void fill_row(float* row) {
    const float rest = std::sqrt(1 - options_.correlation * options_.correlation);
    float last = normal_(random_);
    for (std::size_t c = 0; c < width(); ++c) {
      row[c] = last;
      last = options_.correlation * last + rest * normal_(random_);
    }
  }

  void fill_values() {
    const std::size_t rows = options_.layers * options_.tokens;
    k.resize(rows * width());
    v.resize(rows * width());
    for (std::size_t row = 0; row < rows; ++row) {
      float* key = k.data() + row * width();
      float* value = v.data() + row * width();
      fill_row(key);
      // V follows K, mostly: prediction has something to find.
      for (std::size_t c = 0; c < width(); ++c) value[c] = 0.8F * key[(c + 1) % width()] + 0.3F * normal_(random_);
      importance_.push_back(std::exp(key[0]));
      for (std::size_t c = 0; c < width(); c += 3) key[c] += options_.key_bias;
    }
    for (float& x : k) x *= options_.scale;
    for (float& x : v) x *= options_.scale;
    turn(k, 1);
  }

  void fill_gradients() {
    const std::size_t plane = options_.layers * options_.tokens * width();
    gk.resize(options_.gradient_rows * plane);
    gv.resize(gk.size());
    for (std::size_t i = 0; i < gk.size(); ++i) {
      const float size = importance_[i % plane / width()] / options_.scale;
      gk[i] = 0.02F * size * normal_(random_);
      gv[i] = 0.01F * size * normal_(random_);
    }
    turn(gk, options_.gradient_rows);
  }

  /// RoPE, as an engine applies it.
  void turn(std::vector<float>& values, std::size_t repeats) const {
    if (options_.rope.style == kernels::RopeStyle::kNone) return;
    kernels::RopeAngles angles;
    kernels::fill_rope_angles(options_.rope, 0, options_.tokens, angles);
    for (std::size_t row = 0; row < repeats * options_.layers * options_.tokens; ++row) {
      for (std::size_t head = 0; head < options_.kv_heads; ++head) {
        float* channels = values.data() + row * width() + head * options_.head_dim;
        for (std::size_t pair = 0; pair < angles.pairs; ++pair) {
          const kernels::ChannelPair at = kernels::rope_pair(options_.rope, pair);
          const float cosine = angles.cosine[pair * options_.tokens + row % options_.tokens];
          const float sine = angles.sine[pair * options_.tokens + row % options_.tokens];
          const float x = channels[at.first], y = channels[at.second];
          channels[at.first] = x * cosine - y * sine;
          channels[at.second] = x * sine + y * cosine;
        }
      }
    }
  }

  SyntheticOptions options_;
  std::mt19937 random_;
  std::normal_distribution<float> normal_;
  std::vector<float> importance_;
  Dump dump_;
};

/// Hears nothing, goes on for `patience` calls.
class SilentWatch final : public CalibrationWatch {
 public:
  explicit SilentWatch(std::size_t patience = SIZE_MAX) : patience_(patience) {}
  bool on_progress(const char*, double share) override {
    EXPECT_GE(share, last_);
    EXPECT_LE(share, 1.0);
    last_ = share;
    return calls_++ < patience_;
  }

 private:
  std::size_t patience_;
  std::size_t calls_ = 0;
  double last_ = 0;
};

}  // namespace sluice::codec::calibration
