// What a rope in a header may say: one law for frames, containers and profiles.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/shape.h"

namespace sluice::codec {

/// Threads: pure.
inline bool is_valid_scaling(const kernels::RopeScaling& scaling) {
  using Kind = kernels::RopeScalingKind;
  if (scaling.kind == Kind::kNone) return scaling == kernels::RopeScaling{};
  if (static_cast<std::uint8_t>(scaling.kind) > 3) return false;
  if (!std::isfinite(scaling.factor) || !(scaling.factor >= 1.0F)) return false;
  if (scaling.kind == Kind::kLinear) return scaling.low == 0 && scaling.high == 0 && scaling.original_tokens == 0;
  return std::isfinite(scaling.high) && scaling.low > 0 && scaling.high > scaling.low && scaling.original_tokens > 0;
}

inline constexpr std::uint32_t kMaxLocalPeriod = 255;

/// A finite base where layers differ, or nothing.  Threads: pure.
inline bool is_valid_local(const kernels::RopeSpec& rope) {
  if (rope.local_period == 0) return rope.local_base == 0.0;
  return rope.local_period >= 2 && rope.local_period <= kMaxLocalPeriod && std::isfinite(rope.local_base) &&
         rope.local_base >= 1.0;
}

/// A known style with sane dims, bases and scaling, or none at all.  Threads: pure.
inline bool is_valid_rope(const kernels::RopeSpec& rope, std::uint64_t head_dim) {
  if (!is_valid_local(rope)) return false;
  if (rope.style == kernels::RopeStyle::kNone) {
    return rope.dims == 0 && rope.base == 0.0 && rope.scaling == kernels::RopeScaling{} && rope.local_period == 0;
  }
  if (static_cast<std::uint8_t>(rope.style) > 2) return false;
  return rope.dims >= 2 && rope.dims % 2 == 0 && rope.dims <= head_dim && std::isfinite(rope.base) &&
         rope.base >= 1.0 && is_valid_scaling(rope.scaling);
}

}  // namespace sluice::codec
