// How fast this machine encodes and decodes rows at each level, and the link speed below which that pays. Place in the
// flow: `sluice bench` prints it; a node measures its decode rates by it at start-up.
#pragma once

#include <cstddef>
#include <vector>

#include "base/clock.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/geometry.h"
#include "integration/kv_planes.h"
#include "integration/unit_coder.h"

namespace sluice::integration {

/// Median of a few rounds, and the distance from the fastest to the slowest of them.
struct TimedRounds {
  Duration median{0};
  Duration spread{0};
};

/// One level on one worker, over all units that were measured.
struct CodecRate {
  Part part = Part::kRaw;  ///< the level: a part that stands alone, or the last of its stages
  Bytes raw;
  Bytes wire;
  TimedRounds encode;  ///< of stages: all of them, since they are made in one go
  TimedRounds decode;
};

/// How often, and by which clock.
struct MeasuredRounds {
  std::size_t rounds = 3;
  const Clock* clock = nullptr;
};

/// Encodes and decodes every unit of `planes` `how.rounds` times at every level that these rows can be coded at. Rounds
/// of all levels take turns, so that a slow moment of the machine meets each. Errors:  those of UnitCoder; kNoMemory
/// for a second set of planes.  Precondition: rounds and a clock.
Result<std::vector<CodecRate>> measure_codec(UnitCoder& coder, const KvPlanes& planes, const Geometry& geometry,
                                             const MeasuredRounds& how);

/// The link rate below which rows at `level` are in place sooner than raw ones, when nothing overlaps: the bits that it
/// saves take as long as its coding takes more. `was_encoded`: in reuse encoding was done before.
/// Returns zero where it never pays.  Threads: pure.
BitsPerSecond pays_below(const CodecRate& level, const CodecRate& raw, bool was_encoded);

}  // namespace sluice::integration
