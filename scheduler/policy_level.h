// Baselines that decide once: one level for a whole request, in some order of requests, with some rule for giving up.
// What the field does is a setting of these: raw rows first come first served, fair or by deadline; 8-bit codes; the
// soonest level of an envelope; an anchor and a residual; loading from the back while the front is computed; a timeout.
// They are compared with, and any of them can be the policy of a node.
// Place in the flow: behind Policy, on a Board, as the planner.
#pragma once

#include <string>
#include <vector>

#include "scheduler/board.h"

namespace sluice::scheduler {

/// Which request is served next. kFair: the one that has been served the fewest bytes since it came.
enum class ServiceOrder : std::uint8_t { kDeadline, kArrival, kFair };

/// What one baseline does.
struct LevelRules {
  /// Sent of every unit, those of them that the request wants; without any, whatever is offered.
  std::vector<Part> parts;
  ServiceOrder order = ServiceOrder::kDeadline;
  /// The soonest level that reaches the floor instead of `parts`, by decode speed, size and the link's rate; chosen
  /// once at the first offer.  Source: KVServe (SIGCOMM'26), its lower envelope.
  bool is_envelope = false;
  /// So many of `parts` are sent of every unit before any more of one; complete at the deadline with those.
  /// Source: Lynx, a 4-bit anchor and then a 4-bit residual.
  std::size_t anchor_parts = 0;
  /// Units come from the last to the first while chunks are computed from the first on, as long as the request is open.
  /// Source: Cake (ICML'25).
  bool is_two_ended = false;
  /// A request whose level is not forecast to be here by its deadline ends.  Source: Mooncake TENT.
  bool drops_late = false;
  /// Zero: none. Else the request ends after `timeout` and so much a token, and keeps its whole chunks from the front.
  /// Source: SGLang's HiCache.
  Duration timeout{0};
  Duration timeout_per_token{0};
};

/// Threads: one at a time.
class LevelPolicy final : public Policy {
 public:
  LevelPolicy(std::string name, LevelRules rules, const PolicyOptions& options);

  void on(const Event& event, Instant now, Actions& out) override;
  Instant wake_at() const override;
  std::string_view name() const override { return name_; }

 private:
  /// What this policy keeps of a request.
  struct Progress {
    RequestId request;
    std::uint64_t arrival = 0;
    Bytes served;
    /// Units before it have nothing to grant.
    std::size_t cursor = 0;
    std::vector<Part> parts;
  };

  Progress& progress_of(RequestId request);
  bool asks_for(const RequestState& request, const Progress& progress, Part part) const;
  /// Every unit has arrived with the first `count` of the parts that are asked for, or was computed.
  bool has_arrived(const RequestState& request, const Progress& progress, std::size_t count) const;
  Instant end_by(const RequestState& request) const;
  Instant timeout_of(const RequestState& request) const;
  void choose_level(const RequestState& request, Progress& progress, Instant now) const;
  bool end_if_over(RequestState& request, Instant now, Actions& out);
  bool end_late(RequestState& request, const Progress& progress, Instant now, Actions& out);
  void compute_front(Instant now, Actions& out);
  bool grant_next(Instant now, Actions& out);
  bool grant_of(RequestState& request, Progress& progress, Instant now, Actions& out);
  bool is_served_before(const Progress& left, const Progress& right) const;

  std::string name_;
  LevelRules rules_;
  bool takes_all_;
  std::uint64_t arrivals_ = 0;
  Board board_;
  std::vector<Progress> progress_;
};

/// Never transfers. Threads: one at a time.
class RecomputePolicy final : public Policy {
 public:
  explicit RecomputePolicy(const PolicyOptions& options) : board_(options) {}

  void on(const Event& event, Instant now, Actions& out) override;
  Instant wake_at() const override { return Instant::never(); }
  std::string_view name() const override { return "recompute"; }

 private:
  Board board_;
};

}  // namespace sluice::scheduler
