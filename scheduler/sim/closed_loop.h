// One decode node, one peer and the link between them, in virtual time, closed around a real policy: what it grants is
// sent, what arrives is decoded, and what came of it is told to the policy again. The node's true costs may differ from
// what the policy was told.
// Place in the flow: jobs -> ClosedLoop::run -> outcomes; the seed of the cluster simulator (SCHEDULER, simulator).
// Invariants: integers and one queue ordered by (time, number), so that a run is the same on every machine; bounded in
// events.
#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include "scheduler/policy.h"
#include "scheduler/sim/link.h"

namespace sluice::scheduler::sim {

/// One request as a scenario states it. Times from the start of the scenario.
struct Job {
  RequestId request{1};
  Duration opened{0};
  /// Of the first token.
  Duration deadline{0};
  DeadlineKind deadline_kind = DeadlineKind::kHard;
  Mode mode = Mode::kReuse;
  PartsPerMillion floor{900'000};
  PartsPerMillion target{995'000};
  /// This node's own prefill: as the policy is told, and what it really takes (zero: the same).
  Duration recompute = Duration::max();
  Duration recompute_really{0};
  /// What computing a chunk costs here; none: chunks are not computed alone.
  std::optional<PrefillCost> prefill;
  std::uint32_t chunks = 4;
  std::uint32_t chunk_tokens = 256;
  std::uint32_t groups = 2;
  Bytes unit_raw{256 * 23'040 / 2};
  /// What one unit's parts take on the wire; sizes_of(unit_raw) when left empty.
  PartSizes sizes;
  /// The peer's work in a hand-over: prefill of a chunk (all its units become ready), then the encoding of each unit,
  /// which runs beside the prefill of the next chunk.
  Duration chunk_prefill{0};
  Duration unit_encode{0};
  /// Publication and the engine's first step, after everything is decoded (or recomputed).
  Duration first_token{0};
};

/// What came of a request.
struct Outcome {
  RequestId request;
  bool has_ended = false;
  bool is_recomputed = false;
  Reason reason = Reason::kNone;
  PartsPerMillion quality;
  /// From opening to the first token; recompute included where it came to that.
  Duration ttft{0};
  Bytes wire;
  /// The policy said that it would be in time.
  bool is_promised = false;
  /// Of this node's own prefill: chunks, and the rest of a recompute.
  Duration computed{0};
};

/// Wire sizes of one unit: 16 bits a value raw, about 2.2 / +1.1 / +1.2 for the stages, 11 lossless, 8.5 in 8 bit.
PartSizes sizes_of(Bytes raw);

/// Everything that happened, for comparing runs and checking laws.
struct Trace {
  std::vector<std::pair<Instant, Event>> events;
  std::vector<std::pair<Instant, Action>> actions;
  Bytes most_in_flight;
  std::size_t most_grants_in_flight = 0;
  /// See LinkRun::busy().
  PartsPerMillion link_busy;
};

/// Threads: one.
class ClosedLoop {
 public:
  /// `told` is what the policy knows, its decode costs are also the true ones unless set_decode() says otherwise.
  ClosedLoop(Link link, PolicyOptions told) : link_(link), wire_(std::move(link)), decode_(told.decode) {}
  void set_decode(const DecodeCosts& really) { decode_ = really; }
  /// The policy is told the link's true rate whenever it changes: what a rule gets that assumes it known.
  void set_tells_rate() { tells_rate_ = true; }
  /// Events and actions are not kept: for runs of many requests.
  void set_keeps_no_trace() { keeps_trace_ = false; }

  /// Runs all jobs to their end, or to a bound in events. Warm: the policy has measured the link before.
  std::vector<Outcome> run(Policy& policy, const std::vector<Job>& jobs, bool is_warm = true);
  const Trace& trace() const { return trace_; }

 private:
  /// An event's time, its number, which orders equals, and where it is kept.
  struct Timed {
    Instant at;
    std::uint64_t order;
    std::uint32_t slot;
  };
  struct Grants {
    Bytes bytes;
    std::size_t count = 0;
  };
  static bool is_later(const Timed& left, const Timed& right) {
    return left.at != right.at ? left.at > right.at : left.order > right.order;
  }
  void schedule(Instant at, Event event);
  void schedule_job(const Job& job);
  void warm_up(Instant now);
  void deliver(Policy& policy, const Event& event, Instant now);
  void decode(const PartArrived& arrived, Instant now);
  void carry_out(const Action& action, Instant now);
  void send(const Grant& grant, Instant now);
  void compute(const ComputeChunk& compute, Instant now);
  void end(const Action& action, Instant now);
  Event take();
  Outcome& outcome(RequestId request) { return outcomes_[places_.at(request)]; }
  const Job& job(RequestId request) const { return jobs_[places_.at(request)]; }

  Link link_;
  LinkRun wire_;
  DecodeCosts decode_;
  std::vector<Timed> queue_;
  std::vector<Event> events_;
  std::vector<std::uint32_t> free_events_;
  std::uint64_t order_ = 0;
  std::vector<Job> jobs_;
  std::vector<Outcome> outcomes_;
  std::unordered_map<RequestId, std::size_t> places_;
  std::size_t ended_ = 0;
  bool tells_rate_ = false;
  bool keeps_trace_ = true;
  Instant start_;
  Instant decode_free_;
  std::uint32_t decodes_waiting_ = 0;
  Grants in_flight_;
  Trace trace_;
  Actions actions_;
};

}  // namespace sluice::scheduler::sim
