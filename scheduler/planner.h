// Sluice's own policy. In this order: end what must end; bases (or the whole part that gets a request to its target
// sooner) of all requests, earliest deadline first; then the refinement with the steepest gain of quality per byte;
// stop at the target. A delivery that cannot meet its deadline goes on by whichever way is soonest; it is given up only
// when even its hopeful end comes later than recompute would, counted in full from now and with a margin. Where the
// owner computes chunks (PolicyOptions::computes_front), a request that the link alone would leave short is met from
// both ends. An event changes what is known of one request, and only that one is looked at again, besides those whose
// time has come; so its cost does not grow with the number of requests. Invariants: never slower than raw rows would
// be, as far as the link is known; bytes in flight are bounded; a request in reuse never spends time on refinement
// beyond the moment recompute would have finished.
#pragma once

#include <optional>

#include "scheduler/admission.h"
#include "scheduler/board.h"
#include "scheduler/forecast.h"

namespace sluice::scheduler {

/// Threads: one at a time.
class Planner final : public Policy {
 public:
  explicit Planner(const PolicyOptions& options) : board_(options), admission_(options.promise) {}

  void on(const Event& event, Instant now, Actions& out) override;
  Instant wake_at() const override { return wake_at_; }
  std::string_view name() const override { return "sluice"; }

  /// For tests of the laws.
  const Board& board() const { return board_; }

 private:
  /// How a request goes on, and why.
  struct Choice {
    Way way = Part::kBase;
    Reason reason = Reason::kBaseFirst;
    Inputs inputs;
  };
  /// The moment after which refinement is not worth its time, and the reason that will be given.
  struct Limit {
    Instant at = Instant::never();
    Reason reason = Reason::kDeadlineNear;
  };

  /// Ends the request, or brings its figures and its next look up to date. True when it was ended (and is gone).
  bool look(Listed& listed, Instant now, Actions& out);
  void look_at_due(Instant now, Actions& out);
  /// What others see of the request.
  void refresh(Listed& listed, Instant now);
  void set_timer(Listed& listed, Instant now);

  /// Says once whether the deadline will be kept.
  void promise(Listed& listed, Instant now, Actions& out);
  /// What became of it. The request is about to end.
  void settle(const RequestState& request, bool is_in_time);
  void complete(RequestState& request, const Ending& ending, Instant now, Actions& out);
  void recompute(RequestState& request, const Ending& ending, Actions& out);

  bool end_delivered(RequestState& request, Instant now, Actions& out);
  bool end_undeliverable(Listed& listed, Instant now, Actions& out);
  /// Nothing that is still to come would be worth its time.
  bool end_refined(RequestState& request, const std::optional<Refinement>& candidate, Instant now, Actions& out);
  bool grant_needed(Instant now, Actions& out);
  /// Whose turn it is: the earliest deadline's, or that of work without one when it has waited for its share.
  Listed* next_needy();
  bool grant_refinement(Instant now, Actions& out);
  void grant_compute(Instant now, Actions& out);

  bool may_compute(const RequestState& request) const;
  /// Which end a unit belongs to is known when all are: until then, and not for long, none is granted.
  bool waits_for_offers(const RequestState& request, Instant now) const;
  /// How many chunks of the front are kept for compute.
  void plan_front(RequestState& request, Instant now);
  bool is_reached_by_link(const RequestState& request, Instant limit, Instant now) const;

  Choice choose_way(const RequestState& request, Bytes ahead, Instant now) const;
  /// A whole part that is better than all stages, no later than them, and in time; else the one that brings the request
  /// to its floor before `choice` does; else `choice` stays.
  void prefer_whole(const RequestState& request, const Road& road, Bytes room, Choice& choice) const;
  /// Bytes that may go before all others' floors without making one of them late that is in time now.
  Bytes room_beside(const RequestState& request, Instant now) const;
  /// Two requests were open at once not long ago.
  bool is_crowded(Instant now) const;
  /// By the deadline and by recompute alone.
  Limit time_limit(const RequestState& request) const;
  /// The same, and no later than raw rows would have been in place.
  Limit refinement_limit(const RequestState& request, Instant now) const;
  std::optional<Refinement> steepest(RequestState& request, Instant now) const;
  bool fits(const RequestState& request, const Refinement& refinement, const Limit& limit, Instant now) const;
  /// What must be left before a limit, or a refinement that is about to arrive could not be decoded any more.
  Duration longest_decode(const RequestState& request) const;

  Board board_;
  Admission admission_;
  /// Bytes granted to work with a deadline since work without one, that waits, had its turn.
  Bytes urgent_;
  /// When two requests were last open at once; long ago at first.
  Instant crowded_at_{Duration::min() / 2};
  Instant wake_at_ = Instant::never();
};

}  // namespace sluice::scheduler
