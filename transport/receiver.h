// One request at the side that wants KV, as a pure state machine: no sockets, no clock, no memory of its own.
//   kOpening --accepted--> kStreaming --sealed--> kSealed        (parts flow in the last two)
//   any of them --finish--> kDone | --abort--> kAborted | --reject, failure, deadline, lost peer, bad part--> kFailed
// A terminal state is entered once and reports once (TellFailed unless the owner ended it itself, and ReportEnd). After
// it DONE or ABORT is re-sent until the peer has acknowledged or kMaxResends; then the machine is forgotten.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/identity.h"
#include "base/result.h"
#include "transport/message.h"

namespace sluice::transport {

/// What a Receiver is made for.
struct ReceiverOptions {
  RequestId request;
  Instant opened;
  Instant deadline;
  /// Until DONE or ABORT is said again.
  Duration resend = std::chrono::milliseconds(200);
  /// Grants of one part after the first.
  std::uint32_t part_retries = 3;
};

/// Threads: one.
class Receiver {
 public:
  enum class State : std::uint8_t { kOpening, kStreaming, kSealed, kDone, kFailed, kAborted };
  static constexpr std::uint32_t kMaxResends = 5;

  // What can happen.
  struct Accepted {
    OpenAck shape;
  };
  struct Rejected {
    Reject reject;
  };
  struct Offered {
    Offer offer;
  };
  struct Granted {
    UnitKey unit;
    Part part;
  };
  /// `code` is kOk for a verified part.
  struct PartCame {
    UnitKey unit;
    Part part;
    ErrorCode code;
  };
  struct SealCame {
    Units units;
  };
  struct PeerFailed {
    ErrorCode code;
  };
  struct FinishAsked {};
  struct AbortAsked {
    ErrorCode code;
  };
  struct EndAcknowledged {};
  struct PeerLost {
    Error error;
  };
  struct Tick {};
  using Event = std::variant<Accepted, Rejected, Offered, Granted, PartCame, SealCame, PeerFailed, FinishAsked,
                             AbortAsked, EndAcknowledged, PeerLost, Tick>;

  // What to do about it, in order.
  struct SendDone {};
  struct SendAbort {
    ErrorCode code;
  };
  struct TellAccept {
    OpenAck shape;
  };
  struct TellOffer {
    Offer offer;
  };
  struct TellPart {};
  struct TellSealed {
    Units units;
  };
  struct TellFailed {
    Error error;
  };
  /// The bad part may come again, into the same memory, under a new generation.
  struct GrantAgain {};
  /// Nothing of this request may be placed any more.
  struct RevokeLeases {};
  /// Exactly once; kOk for success.
  struct ReportEnd {
    Error error;
  };
  struct Forget {};
  using Action = std::variant<SendDone, SendAbort, TellAccept, TellOffer, TellPart, TellSealed, TellFailed, GrantAgain,
                              RevokeLeases, ReportEnd, Forget>;
  using Actions = std::vector<Action>;

  explicit Receiver(const ReceiverOptions& options) : options_(options) {}

  /// Total: any event in any state; what does not fit changes nothing.
  Actions step(const Event& event, Instant now);
  /// When Tick is due; never() when only the peer can move it.
  Instant wake_at() const;

  /// Errors: kNotFound (ended, not yet accepted, or a unit outside the request), kAlreadyExists (on its way).
  Result<void> may_grant(UnitKey unit, Part part) const;
  State state() const { return state_; }
  bool is_terminal() const { return state_ >= State::kDone; }
  const ReceiverOptions& options() const { return options_; }
  /// Valid from kStreaming on.
  const OpenAck& shape() const { return shape_; }

 private:
  void on(const Accepted& event, Actions& out);
  void on(const Rejected& event, Actions& out);
  void on(const Offered& event, Actions& out);
  void on(const Granted& event, Actions& out);
  void on(const PartCame& event, Actions& out);
  void on(const SealCame& event, Actions& out);
  void on(const PeerFailed& event, Actions& out);
  void on(const FinishAsked& event, Actions& out);
  void on(const AbortAsked& event, Actions& out);
  void on(const EndAcknowledged& event, Actions& out);
  void on(const PeerLost& event, Actions& out);
  void on(const Tick& event, Actions& out);

  bool is_open() const { return state_ == State::kStreaming || state_ == State::kSealed; }
  bool covers(UnitKey unit) const;
  void fail(Error error, bool tell_peer, Actions& out);
  void end(State state, Error error, Actions& out);
  void say_end(Actions& out);

  ReceiverOptions options_;
  State state_ = State::kOpening;
  OpenAck shape_;
  std::map<std::pair<UnitKey, Part>, std::uint32_t> outstanding_;  // -> grants after the first
  Instant now_;
  Instant resend_at_ = Instant::never();
  std::uint32_t resends_ = 0;
  ErrorCode end_code_ = ErrorCode::kOk;
};

}  // namespace sluice::transport
