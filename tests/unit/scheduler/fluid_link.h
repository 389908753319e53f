// A link and a decode pool in virtual time, for driving a policy in tests: grants travel half a round trip, parts are
// sent one after another at the link's rate, decode runs beside it. Integers only, so a run is the same everywhere.
#pragma once

#include <algorithm>
#include <vector>

#include "scheduler/policy.h"

namespace sluice::scheduler::testing_support {

/// One request as a scenario states it. Times from the start of the scenario.
struct Job {
  RequestId request{1};
  Duration opened{0};
  Duration deadline{0};
  DeadlineKind deadline_kind = DeadlineKind::kHard;
  Mode mode = Mode::kReuse;
  PartsPerMillion floor{900'000};
  PartsPerMillion target{995'000};
  Duration recompute = Duration::max();
  std::uint32_t chunks = 4;
  std::uint32_t groups = 2;
  Bytes unit_raw{256 * 23'040 / 2};
  /// Between one unit's production and the next, in a hand-over.
  Duration pace{0};
};

struct Link {
  /// The rate from `since` on; first entry at 0.
  struct Phase {
    Duration since{0};
    BitsPerSecond rate;
  };
  std::vector<Phase> phases;
  Duration rtt{1'000'000};

  BitsPerSecond rate_at(Instant now) const {
    BitsPerSecond rate = phases.front().rate;
    for (const Phase& phase : phases) {
      if (Instant(phase.since) <= now) rate = phase.rate;
    }
    return rate;
  }
  /// When `bytes` begun at `start` are through, across phases.
  Instant sent(Bytes bytes, Instant start) const {
    Instant at = start;
    for (std::size_t i = 0; i < phases.size(); ++i) {
      const Instant end = i + 1 < phases.size() ? Instant(phases[i + 1].since) : Instant::never();
      if (end <= at) continue;
      const Duration needed = time_to_send(bytes, phases[i].rate);
      if (at + needed <= end) return at + needed;
      bytes -= std::min(bytes, sent_within(end - at, phases[i].rate));
      at = end;
    }
    return at;
  }
};

struct Outcome {
  RequestId request;
  bool has_ended = false;
  bool is_recomputed = false;
  Reason reason = Reason::kNone;
  PartsPerMillion quality;
  /// From opening to published KV; recompute included where it came to that.
  Duration ttft{0};
  Bytes wire;
};

/// Wire sizes of one unit: 16 bits a value raw, about 2.2 / +1.1 / +1.2 for the stages, 11 lossless, 8.5 in 8 bit.
PartSizes sizes_of(Bytes raw);

/// Everything that happened, for comparing runs and checking laws.
struct Trace {
  std::vector<std::pair<Instant, Event>> events;
  std::vector<std::pair<Instant, Action>> actions;
  Bytes most_in_flight;
  std::size_t most_grants_in_flight = 0;
};

class FluidLink {
 public:
  FluidLink(Link link, PolicyOptions options) : link_(std::move(link)), options_(options) {}

  /// Runs all jobs to their end, or to a bound in events. Feeds the policy's estimator with a warm-up first if asked.
  std::vector<Outcome> run(Policy& policy, const std::vector<Job>& jobs, bool is_warm = true);
  const Trace& trace() const { return trace_; }

 private:
  struct Timed {
    Instant at;
    std::uint64_t order;
    Event event;
  };
  struct Grants {
    Bytes bytes;
    std::size_t count = 0;
  };
  void schedule(Instant at, Event event) { queue_.push_back(Timed{at, order_++, event}); }
  void schedule_job(const Job& job, Instant start);
  void deliver(Policy& policy, const Event& event, Instant now);
  void carry_out(const Action& action, Instant now);
  Outcome& outcome(RequestId request);
  const Job& job(RequestId request) const;

  Link link_;
  PolicyOptions options_;
  std::vector<Timed> queue_;
  std::uint64_t order_ = 0;
  std::vector<Job> jobs_;
  std::vector<Outcome> outcomes_;
  Instant start_;
  Instant link_free_;
  Instant decode_free_;
  Grants in_flight_;
  Trace trace_;
  Actions actions_;
};

}  // namespace sluice::scheduler::testing_support
