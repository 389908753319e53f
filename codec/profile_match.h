// Whether a unit is of the model that a profile is of, and starts where the profile can start.
#pragma once

#include "base/result.h"
#include "codec/encoder.h"
#include "codec/profile.h"
#include "kernels/shape.h"

namespace sluice::codec {

/// Errors: kProfileMismatch.  Threads: pure.
inline Result<void> check_unit_fits(const Profile& profile, const kernels::KvShape& shape, const UnitContext& context) {
  const ProfileContents& contents = profile.contents();
  const std::uint64_t first = context.first_layer.value();
  if (shape.kv_heads != contents.kv_heads || shape.head_dim != contents.head_dim) {
    return Error{ErrorCode::kProfileMismatch, 0, "heads of the profile"};
  }
  if (first + shape.layers.count() > contents.layers.count()) {
    return Error{ErrorCode::kProfileMismatch, 0, "layers of the profile"};
  }
  if (canonical(context.rope) != contents.rope) return Error{ErrorCode::kProfileMismatch, 0, "rope of the profile"};
  if (contents.intra_every != 0 && first % contents.intra_every != 0) {
    return Error{ErrorCode::kProfileMismatch, 0, "unit does not start at an intra layer"};
  }
  return {};
}

}  // namespace sluice::codec
