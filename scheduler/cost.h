// Measured costs of this node, as integers, and the times that follow from them. Filled in by the composition root from
// its own measurements; the defaults are stated assumptions.
// Invariant: pure; every time is rounded up and saturates at Duration::max().
#pragma once

#include "base/identity.h"
#include "base/quantity.h"
#include "scheduler/part_set.h"

namespace sluice::scheduler {

/// What it costs an engine to prefill a prompt: fixed + linear * n + pair * n * (n - 1) / 2 for n tokens.
/// Units: picoseconds, so that a fast GPU's attention term does not round to nothing.
struct PrefillCost {
  Duration fixed{0};
  std::uint64_t picoseconds_per_token = 0;
  std::uint64_t picoseconds_per_token_pair = 0;
};

/// Time to prefill `tokens` from nothing, rounded up; saturates.  Threads: pure.
Duration prefill_time(const PrefillCost& cost, Tokens tokens);

/// Rate at which this node turns a part that has arrived into rows of the engine.
struct DecodeCosts {
  /// Bits of *raw rows* per second that one worker produces from the part, all of verify, decode and inject together.
  PartTable<BitsPerSecond> rate = default_rates();
  /// Added once per part: hand-over to a worker and back.
  Duration per_part{50'000};
  /// Decodes that run at the same time, at least 1.
  std::uint32_t workers = 1;
  /// Added once per request: publication to the engine.
  Duration per_request{0};

  /// Assumed until the node has measured itself: one slow core. Not a measurement.
  static PartTable<BitsPerSecond> default_rates();
};

/// Time of one worker to decode `part` of a unit whose rows are `raw` bytes; rounded up.  Threads: pure.
Duration decode_time(const DecodeCosts& costs, Part part, Bytes raw);

}  // namespace sluice::scheduler
