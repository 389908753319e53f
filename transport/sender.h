// One request at the side that holds KV, as a pure state machine: no sockets, no clock, no payloads.
//   kDeciding --accept--> kStreaming --seal--> kSealed           (grants are served in the last two)
//   any of them --DONE--> kDone | --ABORT, lost peer, deadline--> kAborted | --reject--> kRejected | --fail--> kFailed
// A terminal state is entered once and reports once. DONE and ABORT are answered by the session even for requests that
// it has forgotten, so a terminal machine can be forgotten at once.
#pragma once

#include <cstdint>
#include <map>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/identity.h"
#include "base/result.h"
#include "transport/message.h"
#include "transport/session.h"

namespace sluice::transport {

/// What a Sender is made for.
struct SenderOptions {
  RequestId request;
  Instant opened;
  /// The peer's deadline as we count it, with time for its own end to reach us.
  Instant deadline;
  std::uint32_t max_grants = 65536;
};

/// Threads: one.
class Sender {
 public:
  enum class State : std::uint8_t { kDeciding, kStreaming, kSealed, kDone, kFailed, kAborted, kRejected };

  // What can happen.
  struct AcceptAsked {
    OpenAck shape;
  };
  struct RejectAsked {
    Reject reject;
  };
  struct GrantCame {
    GrantToken token;
  };
  struct PartGiven {
    GrantToken token;
  };
  struct SealAsked {
    Units units;
  };
  struct FailAsked {
    ErrorCode code;
  };
  struct DoneCame {};
  struct AbortCame {
    ErrorCode code;
  };
  struct PeerLost {
    Error error;
  };
  struct Tick {};
  using Event = std::variant<AcceptAsked, RejectAsked, GrantCame, PartGiven, SealAsked, FailAsked, DoneCame, AbortCame,
                             PeerLost, Tick>;

  // What to do about it, in order.
  struct SendOpenAck {
    OpenAck shape;
  };
  struct SendReject {
    Reject reject;
  };
  struct SendSeal {
    Units units;
  };
  struct SendFailed {
    ErrorCode code;
  };
  struct TellGrant {
    GrantToken token;
  };
  struct TellDone {};
  struct TellAborted {
    Error error;
  };
  /// DATA of this request that has not begun need not go out.
  struct DropData {};
  /// Exactly once; kOk for success. The machine is to be forgotten then.
  struct ReportEnd {
    Error error;
  };
  /// The peer breaks the protocol: close the session.
  struct Violation {
    Error error;
  };
  using Action = std::variant<SendOpenAck, SendReject, SendSeal, SendFailed, TellGrant, TellDone, TellAborted, DropData,
                              ReportEnd, Violation>;
  using Actions = std::vector<Action>;

  explicit Sender(const SenderOptions& options) : options_(options) {}

  /// Total: any event in any state; what does not fit changes nothing.
  Actions step(const Event& event, Instant now);
  Instant wake_at() const { return is_terminal() ? Instant::never() : options_.deadline; }

  /// Errors: kNotFound (ended or not accepted), kStaleLease (not granted, or given already).
  Result<void> may_give(const GrantToken& token) const;
  State state() const { return state_; }
  bool is_terminal() const { return state_ >= State::kDone; }
  bool is_open() const { return state_ == State::kStreaming || state_ == State::kSealed; }
  const SenderOptions& options() const { return options_; }
  /// Valid from kStreaming on.
  const OpenAck& shape() const { return shape_; }

 private:
  void on(const AcceptAsked& event, Actions& out);
  void on(const RejectAsked& event, Actions& out);
  void on(const GrantCame& event, Actions& out);
  void on(const PartGiven& event, Actions& out);
  void on(const SealAsked& event, Actions& out);
  void on(const FailAsked& event, Actions& out);
  void on(const DoneCame& event, Actions& out);
  void on(const AbortCame& event, Actions& out);
  void on(const PeerLost& event, Actions& out);
  void on(const Tick& event, Actions& out);
  void end(State state, Error error, Actions& out);

  SenderOptions options_;
  State state_ = State::kDeciding;
  OpenAck shape_;
  std::map<SlotIndex, GrantToken> grants_;  // not yet given
  Instant now_;
};

}  // namespace sluice::transport
