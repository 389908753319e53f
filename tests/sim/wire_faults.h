// What happens to frames between simulated nodes: bits flip, frames vanish or come twice, and DATA frames are made
// wrong by somebody who knows the protocol (their checksums are right, their place is not). Each change is noted on the
// flight, so that the laws know what they look at.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "tests/sim/run_plan.h"
#include "transport/sim/sim_pipe.h"

namespace sluice::transport::simtest {

/// What was done to a flight. From kSwapped on: to a DATA frame, and it must be refused.
enum class Harm : std::uint8_t {
  kNone,
  kFlipped,
  kDoubled,    ///< the second of the two
  kSwapped,    ///< another part's bytes and digest under this header
  kBurst,      ///< some bytes overwritten
  kTruncated,  ///< the end is missing, and the length says so
  kStale,      ///< of an older generation, its digest made to fit
  kForeign,    ///< into a slot that is leased to another session, its digest made to fit
  kMisplaced,  ///< of another unit, its digest made to fit
  kOtherPart,
  kOtherEpoch,
  kTooLong,  ///< more than was granted, its digest made to fit
};

/// Threads: one.
class WireFaults {
 public:
  WireFaults(sim::World& world, const RunPlan& plan) : world_(world), plan_(plan), losses_left_(plan.frames.losses) {}

  /// One flight comes; what is to be carried stays. `header` is the flight's.
  void meddle(const sim::PipeEnd& end, const FrameHeader& header, std::vector<sim::Flight>& flights);
  /// Every greeting of this node is of the next version.
  void skew_version_of(const sim::NodeLoop& loop) { skewed_ = &loop; }
  /// Frames of this request that vanished.
  std::uint32_t lost(RequestId request) const;

 private:
  bool vanishes(const FrameHeader& header);
  void skew(sim::Flight& flight);
  void flip(sim::Flight& flight);
  void tamper(const sim::PipeEnd& end, const FrameHeader& header, sim::Flight& flight);
  bool put_elsewhere(const sim::PipeEnd& end, Harm harm, FrameHeader& header, sim::Flight& flight);

  /// DATA that went by lately.
  struct Seen {
    const sim::PipeEnd* end;
    FrameHeader header;
    std::vector<std::byte> payload;
  };

  sim::World& world_;
  const RunPlan& plan_;
  const sim::NodeLoop* skewed_ = nullptr;
  std::uint32_t losses_left_;
  std::map<RequestId, std::uint32_t> lost_;
  std::deque<Seen> seen_;
};

}  // namespace sluice::transport::simtest
