// Scalar RoPE on columns, and the angles of a unit.
#include "kernels/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/assert.h"
#include "kernels/ref/kernels.h"

namespace sluice::kernels {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

// Long waves are slowed down, short ones kept, those between are mixed by how often they turn in the original context.
double llama3_frequency(const RopeScaling& scaling, double frequency) {
  const double turns = scaling.original_tokens * frequency / kTurn;
  if (turns > scaling.high) return frequency;
  if (turns < scaling.low) return frequency / scaling.factor;
  const double kept = (turns - scaling.low) / (double{scaling.high} - scaling.low);
  return (1 - kept) * frequency / scaling.factor + kept * frequency;
}

// A ramp over the pairs, between those that turn `high` and `low` times in the original context.
double yarn_frequency(const RopeSpec& rope, std::uint64_t pair, double frequency) {
  const RopeScaling& scaling = rope.scaling;
  const auto pair_of_turns = [&](double turns) {
    return rope.dims * std::log(scaling.original_tokens / (turns * kTurn)) / (2 * std::log(rope.base));
  };
  const double first = std::max(std::floor(pair_of_turns(scaling.high)), 0.0);
  const double last = std::min(std::ceil(pair_of_turns(scaling.low)), rope.dims - 1.0);
  const double slowed = std::clamp((static_cast<double>(pair) - first) / std::max(last - first, 0.001), 0.0, 1.0);
  return slowed * frequency / scaling.factor + (1 - slowed) * frequency;
}

}  // namespace

double rope_frequency(const RopeSpec& rope, std::uint64_t pair) {
  const double exponent = -2.0 * static_cast<double>(pair) / static_cast<double>(rope.dims);
  const double frequency = std::pow(rope.base, exponent);
  switch (rope.scaling.kind) {
    case RopeScalingKind::kNone:
      return frequency;
    case RopeScalingKind::kLinear:
      return frequency / rope.scaling.factor;
    case RopeScalingKind::kLlama3:
      return llama3_frequency(rope.scaling, frequency);
    case RopeScalingKind::kYarn:
      return yarn_frequency(rope, pair, frequency);
  }
  SLUICE_ASSERT(false);
}

void fill_rope_angles(const RopeSpec& rope, std::uint64_t first_position, std::uint64_t tokens, RopeAngles& angles) {
  angles.pairs = rope.style == RopeStyle::kNone ? 0 : rope.dims / 2;
  angles.tokens = tokens;
  angles.cosine.resize(angles.pairs * tokens);
  angles.sine.resize(angles.pairs * tokens);
  for (std::uint64_t pair = 0; pair < angles.pairs; ++pair) {
    const double frequency = rope_frequency(rope, pair);
    // One turn per token by complex multiplication: in fp64 it drifts by less than 1e-12 over a unit.
    const double first = frequency * static_cast<double>(first_position);
    const double turn_cos = std::cos(frequency);
    const double turn_sin = std::sin(frequency);
    double cosine = std::cos(first);
    double sine = std::sin(first);
    for (std::uint64_t token = 0; token < tokens; ++token) {
      angles.cosine[pair * tokens + token] = static_cast<float>(cosine);
      angles.sine[pair * tokens + token] = static_cast<float>(sine);
      const double next = cosine * turn_cos - sine * turn_sin;
      sine = sine * turn_cos + cosine * turn_sin;
      cosine = next;
    }
  }
}

namespace ref {

void rotate(const RotateColumns& columns) {
  const std::size_t tokens = columns.first.size();
  SLUICE_ASSERT(columns.second.size() == tokens && columns.cosine.size() == tokens && columns.sine.size() == tokens);
  float* const first = columns.first.data();
  float* const second = columns.second.data();
  for (std::size_t t = 0; t < tokens; ++t) {
    const float cosine = columns.cosine[t];
    const float sine = columns.sine[t] * columns.sine_sign;
    const float x = first[t];
    const float y = second[t];
    first[t] = x * cosine - y * sine;
    second[t] = x * sine + y * cosine;
  }
}

}  // namespace ref
}  // namespace sluice::kernels
