// When would a request be there, if its rest came this way? Sums of bytes and decode work, and the time they take on a
// link and a decode pool that run side by side. Used to choose a way and to give up early, never to promise.
// Invariant: pure integers; what is not known is left out, so a forecast errs to the early side; a hopeful one more so.
#pragma once

#include <optional>

#include "scheduler/board.h"

namespace sluice::scheduler {

/// How the rest of a request travels: kBase stands for base and refinements, else the whole part that carries it.
using Way = Part;

/// What is still to be moved and decoded.
struct Work {
  Bytes wire;
  /// Of one worker.
  Duration decode{0};
  /// Of the unit that comes last: its bytes and its decode cannot overlap with anything.
  Bytes last_wire;
  Duration last_decode{0};
};

/// Work until every unit is planned at the floor; none when this way cannot bring all units there.
std::optional<Work> floor_work(const Board& board, const RequestState& request, Way way);
/// Work until the mean over units reaches the target; none when this way cannot.
std::optional<Work> target_work(const Board& board, const RequestState& request, Way way);
/// Work until every unit that is below the floor has all stages that are offered.
Work all_stages_work(const Board& board, const RequestState& request);
/// Bytes that the request's floor still needs by the smallest way: what others wait for behind it.
Bytes floor_bytes(const Board& board, const RequestState& request);

/// Where and when the work is done.
struct Road {
  /// Bytes that go first, in flight not counted.
  Bytes ahead;
  BitsPerSecond rate;
  Instant now;
  /// The peer's production takes the time that its pace says, or less: what a delivery is given up by.
  bool is_hopeful = false;
};
/// When the request can be published, at that rate.
Instant forecast(const Board& board, const RequestState& request, const Work& work, const Road& road);
/// The earliest forecast of floor_work over all ways; a lower bound where little is known yet; never() when no way
/// leads there.
Instant earliest_floor(const Board& board, const RequestState& request, const Road& road);
/// When raw rows alone would have been in place, had nothing else been sent; never() when they are not offered or not
/// all units are known.
Instant raw_baseline(const Board& board, const RequestState& request, Instant now);

}  // namespace sluice::scheduler
