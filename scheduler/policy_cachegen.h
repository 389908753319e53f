// CacheGen's rule as its paper states it, as a baseline: chunk after chunk; the link is taken to be as fast as it was
// for the previous chunk; each chunk gets the least lossy level at which all that is left still fits the deadline, or
// is recomputed. A chosen level is never improved.
// Levels below the request's floor are left out. Two differences, both stated: text (recompute) is chosen for the whole
// request, because a chunk alone cannot be recomputed here; and the next chunk is chosen while the last part of the
// previous one is still on its way, since our receiver asks where CacheGen's sender pushes, and a round trip per chunk
// would be unfair to it. The rule of its published code is another: each chunk has an equal share of the deadline and
// what is left of one is lost; the link's true rate is known (LinkSample, where the owner tells it; else the previous
// chunk's); three levels; text costs a flat 0.2 s. Source: CacheGen (SIGCOMM'24, arXiv 2310.07240), streaming
// adaptation; the code that it was published with.
#pragma once

#include <vector>

#include "scheduler/board.h"

namespace sluice::scheduler {

enum class CacheGenRule : std::uint8_t { kPaper, kArtifact };

/// Threads: one at a time.
class CacheGenPolicy final : public Policy {
 public:
  CacheGenPolicy(CacheGenRule rule, const PolicyOptions& options) : rule_(rule), board_(options) {}

  void on(const Event& event, Instant now, Actions& out) override;
  Instant wake_at() const override { return board_.earliest_last_call(); }
  std::string_view name() const override { return rule_ == CacheGenRule::kPaper ? "cachegen" : "cachegen-artifact"; }

 private:
  /// Parts that make a level, for instance {base, r1}.
  using Level = std::vector<Part>;
  /// Where a request's streaming stands. Units [0, last) have a level; [first, last) are the current chunk.
  struct Stream {
    RequestId request;
    std::size_t first = 0;
    std::size_t last = 0;
    std::vector<Level> levels;
    Reason reason = Reason::kCacheGenLevel;
    Inputs inputs;
    Instant started;
    Bytes arrived;
    BitsPerSecond throughput;
  };

  void track(const Event& event, Instant now);
  Stream& stream_of(RequestId request);
  bool end_if_over(const RequestState& request, Instant now, Actions& out);
  bool step(RequestState& request, Instant now, Actions& out);
  bool is_delivered(const RequestState& request);
  bool grant_started(RequestState& request, const Stream& stream, Actions& out);
  /// Starts the next chunk; false when there is none yet or the request ended.
  bool start_chunk(RequestState& request, Stream& stream, Instant now, Actions& out);
  bool choose_level(const RequestState& request, Stream& stream, Instant now, Actions& out);

  bool choose_by_share(const RequestState& request, Stream& stream, const std::vector<Level>& levels, Actions& out);

  CacheGenRule rule_;
  /// What the owner told of the link; zero: nothing.
  BitsPerSecond told_;
  Board board_;
  std::vector<Stream> streams_;
};

}  // namespace sluice::scheduler
