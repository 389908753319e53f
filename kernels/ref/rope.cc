// Scalar RoPE on columns, and the angles of a unit.
#include "kernels/rope.h"

#include <cmath>

#include "base/assert.h"
#include "kernels/ref/kernels.h"

namespace sluice::kernels {

void fill_rope_angles(const RopeSpec& rope, std::uint64_t first_position, std::uint64_t tokens, RopeAngles& angles) {
  angles.pairs = rope.style == RopeStyle::kNone ? 0 : rope.dims / 2;
  angles.tokens = tokens;
  angles.cosine.resize(angles.pairs * tokens);
  angles.sine.resize(angles.pairs * tokens);
  for (std::uint64_t pair = 0; pair < angles.pairs; ++pair) {
    const double exponent = -2.0 * static_cast<double>(pair) / static_cast<double>(rope.dims);
    const double frequency = std::pow(rope.base, exponent);
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
