// Quality of what has arrived of a unit, in millionths of the engine's own KV (1,000,000 = bit-exact rows). The points
// are data: they come with the request or in the policy's options, from the profile or from measurement with the codec,
// as exp(-mean KL) of the level's predictions against untouched KV. The scheduler only compares and adds them.
#pragma once

#include "base/identity.h"
#include "base/quantity.h"
#include "scheduler/part_set.h"

namespace sluice::scheduler {

inline constexpr PartsPerMillion kExactQuality{1'000'000};

/// Quality once a part has arrived; for a refinement, once all stages up to it have.
/// Invariant: stages never lose quality from one to the next (normalised on use by a running maximum).
struct QualityCurve {
  PartTable<PartsPerMillion> points = default_points();

  static PartTable<PartsPerMillion> default_points();
};

}  // namespace sluice::scheduler
