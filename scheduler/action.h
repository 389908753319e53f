// What a policy answers, each with its reason and the inputs that led to it. Carry out in order.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/identity.h"
#include "base/quantity.h"
#include "scheduler/reason.h"

namespace sluice::scheduler {

/// What the decision was made from; enough to explain it later.
struct Inputs {
  /// Time left to the deadline; negative when it has passed.
  Duration slack{0};
  /// Link rate that was assumed.
  BitsPerSecond rate;
  /// Bytes that this option still had to move, this decision included.
  Bytes bytes;
  /// Bytes granted and not yet arrived, of all requests, before this decision.
  Bytes in_flight;
  /// Expected time from now until the request can be published this way.
  Duration predicted{0};
  /// The same for recompute; Duration::max() when impossible.
  Duration recompute = Duration::max();
};

/// Ask the peer to send one part of one unit now.
struct Grant {
  UnitKey unit;
  Part part = Part::kBase;
  Bytes bytes;
  Reason reason = Reason::kNone;
  Inputs inputs;
};
/// Compute the KV of the request's next chunk here, after all those before it. One at a time; ChunkComputed follows.
/// Only where PolicyOptions::computes_front and the request's prefill cost allow it.
struct ComputeChunk {
  RequestId request;
  ChunkIndex chunk;
  Reason reason = Reason::kNone;
  Inputs inputs;
};
/// Said once of a request, when its size is first known: its floor will be here by its deadline with the probability of
/// PolicyOptions::promise, or that cannot be said. Not terminal.
struct Promise {
  RequestId request;
  bool is_made = false;
  /// When the floor is expected, margin included.
  Instant by;
  Inputs inputs;
};
/// Terminal: stop the delivery; the engine prefills the prompt itself (or the request fails where it cannot).
struct Recompute {
  RequestId request;
  Reason reason = Reason::kNone;
  Inputs inputs;
  /// Chunks from the front whose rows are here: an engine that can continues after them.
  std::uint32_t kept_chunks = 0;
};
/// Terminal: all units are at the floor or better; publish what has arrived. Parts still in flight are not waited for.
struct Complete {
  RequestId request;
  /// Mean over units, weighted by rows.
  PartsPerMillion quality;
  Reason reason = Reason::kNone;
  Inputs inputs;
};

using Action = std::variant<Grant, Recompute, Complete, ComputeChunk, Promise>;
/// Appended to by a policy; keep one and clear() it, so that nothing is allocated per event.
using Actions = std::vector<Action>;

/// One line for people: what, why, and from which numbers.  Allocates; not for the hot path.
std::string explain(const Action& action);

}  // namespace sluice::scheduler
