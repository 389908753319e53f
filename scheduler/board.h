// What every policy stands on: the open requests in deadline order, what is in flight, the link's estimate. It applies
// events and carries out decisions, so that the laws hold whatever a policy decides: a part is granted once unless it
// failed, nothing is granted after a terminal action, a request has one terminal action.
// Place in the flow: event -> Board::apply -> policy decides -> Board::grant / recompute / complete -> action.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "scheduler/action.h"
#include "scheduler/estimator.h"
#include "scheduler/event.h"
#include "scheduler/in_flight.h"
#include "scheduler/policy.h"
#include "scheduler/request_list.h"

namespace sluice::scheduler {

/// A request may have at most so many units.
inline constexpr std::uint64_t kMostUnits = 1 << 16;

/// One part that a policy chose to grant, and the figures it was chosen by.
struct Pick {
  std::size_t unit = 0;
  Part part = Part::kBase;
  Reason reason{};
  Inputs inputs;
};

/// Why a request ends, and the figures that this was decided by.
struct Ending {
  Reason reason{};
  Inputs inputs;
};

/// Threads: one at a time.
class Board {
 public:
  explicit Board(const PolicyOptions& options);
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  /// Changes the state that the event speaks of, and returns the open request that it speaks of; nullptr when it speaks
  /// of none. Requests that must end at once (too many units) end here.
  Listed* apply(const Event& event, Instant now, Actions& out);

  const PolicyOptions& options() const { return options_; }
  const LinkEstimator& link() const { return link_; }
  const InFlight& in_flight() const { return in_flight_; }
  /// Earliest deadline first; ties by id.
  RequestList& requests() { return requests_; }
  const RequestList& requests() const { return requests_; }
  /// A chunk is being computed here.
  bool is_computing() const { return computing_.has_value(); }
  const std::optional<RequestId>& computing() const { return computing_; }
  Instant computing_since() const { return computing_since_; }

  /// The link's median rate, lowered while what is in flight is overdue.
  BitsPerSecond rate(Instant now) const;
  /// The rate that the link is seldom below: its lower tenth, lowered while what is in flight is overdue.
  BitsPerSecond cautious_rate(Instant now) const;
  /// The rate to give up a delivery by: upper quartile times what may yet be doubted of it; without any measurement of
  /// a backlogged link, as fast as there is.
  BitsPerSecond hopeful_rate(Instant now) const;
  /// Whether rate() stands on a measurement that is worth acting on, or on a trusted nominal figure.
  bool knows_link() const { return link_.is_solid() || options_.nominal_is_trusted; }
  /// What decode costs: as the options say at first, then as measured.
  const DecodeCosts& decode() const { return decode_; }
  /// When the decode workers will have finished what has arrived, by the rates of decode().
  Instant decode_free() const { return decode_free_; }
  /// Whether one more grant keeps bytes in flight bounded.
  bool has_room(Instant now) const;
  /// What finished and open requests showed of a part's size: wire bytes against rows; zero rows when nothing is known.
  PartTotal seen(Part part) const { return seen_[part]; }

  /// The part must be offered. `pick.inputs.in_flight` is filled in here. A repeated attempt's reason becomes kRetry.
  void grant(RequestState& request, const Pick& pick, Actions& out);
  /// The request's next chunk. Nothing may be computing.
  void compute(RequestState& request, Inputs inputs, Actions& out);
  /// Terminal: removes the request, which must be of requests().
  /// `kept_chunks`: whole ones from the front, computed ones among them.
  void recompute(const RequestState& request, const Ending& ending, Actions& out, std::uint32_t kept_chunks = 0);
  void complete(const RequestState& request, const Ending& ending, Actions& out);

  /// When the request must be ended, so that what has arrived is published by its deadline.
  Instant last_call(const RequestState& request) const;
  /// The earliest last call of all requests with a hard deadline: when a policy without other timers wants to wake.
  Instant earliest_last_call() const;
  /// When this node will have recomputed what it was told to, one after another.
  Instant compute_free() const { return compute_free_; }
  /// When what has arrived by `arrival` can be published.
  Instant publishable(Instant arrival) const { return std::max(arrival, decode_free_) + decode_.per_request; }

  /// Slack, rate, in flight and recompute of a request: what every decision's inputs begin with.
  Inputs inputs(const RequestState& request, Instant now) const;

 private:
  BitsPerSecond unless_overdue(BitsPerSecond estimate, Instant now) const;
  void remove(RequestId request);
  Listed* open(const RequestOpened& opened, Instant now);
  Listed* accept(const Accepted& accepted, Instant now, Actions& out);
  Listed* offer(const Offered& offered, Instant now);
  Listed* arrive(const PartArrived& arrived, Instant now);
  Listed* fail(const PartFailed& failed, Instant now);
  Listed* computed(const ChunkComputed& computed, Instant now);
  void learn(const DecodeSample& sample, Instant now);

  PolicyOptions options_;
  LinkEstimator link_;
  InFlight in_flight_;
  RequestList requests_;
  std::optional<RequestId> computing_;
  Instant computing_since_;
  Instant compute_free_;
  PartTable<PartTotal> seen_;
  DecodeCosts decode_;
  PartTable<bool> is_decode_seen_;
  /// Rows of what has arrived and was not told to be decoded; nothing is told by owners that send no DecodeSample.
  PartTable<Bytes> undecoded_;
  Instant decode_free_;
  /// Bytes that may be in flight while the link is not known: doubles with each round trip that leaves the link idle.
  Bytes opening_window_;
  Instant now_;
};

}  // namespace sluice::scheduler
