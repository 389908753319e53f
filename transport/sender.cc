#include "transport/sender.h"

namespace sluice::transport {

Sender::Actions Sender::step(const Event& event, Instant now) {
  Actions out;
  now_ = now;
  std::visit([&](const auto& it) { on(it, out); }, event);
  return out;
}

Result<void> Sender::may_give(const GrantToken& token) const {
  if (!is_open()) return Error{ErrorCode::kNotFound, 0, "send_part"};
  const auto at = grants_.find(token.slot);
  const bool granted = at != grants_.end() && at->second.generation == token.generation &&
                       at->second.unit == token.unit && at->second.part == token.part;
  if (!granted) return Error{ErrorCode::kStaleLease, 0, "send_part"};
  return {};
}

void Sender::on(const AcceptAsked& event, Actions& out) {
  if (state_ != State::kDeciding) return;
  shape_ = event.shape;
  state_ = State::kStreaming;
  out.emplace_back(SendOpenAck{event.shape});
}

void Sender::on(const RejectAsked& event, Actions& out) {
  if (state_ != State::kDeciding) return;
  out.emplace_back(SendReject{event.reject});
  end(State::kRejected, Error{event.reject.code, 0, "rejected here"}, out);
}

void Sender::on(const GrantCame& event, Actions& out) {
  if (is_terminal()) return;
  const GrantToken& token = event.token;
  const bool sound = is_open() && !raw_size(shape_, token.unit).is_zero() && !token.max_length.is_zero() &&
                     (grants_.size() < options_.max_grants || grants_.contains(token.slot));
  if (!sound) {
    out.emplace_back(Violation{Error{ErrorCode::kProtocolViolation, 0, "grant"}});
    return;
  }
  // A repeated grant says nothing new; an older generation is late. Neither is told.
  const auto at = grants_.find(token.slot);
  if (at != grants_.end() && at->second.generation >= token.generation) return;
  grants_[token.slot] = token;
  out.emplace_back(TellGrant{token});
}

void Sender::on(const PartGiven& event, Actions&) {
  if (may_give(event.token)) grants_.erase(event.token.slot);
}

void Sender::on(const SealAsked& event, Actions& out) {
  if (state_ != State::kStreaming) return;
  state_ = State::kSealed;
  out.emplace_back(SendSeal{event.units});
}

void Sender::on(const FailAsked& event, Actions& out) {
  if (is_terminal()) return;
  const ErrorCode code = event.code == ErrorCode::kOk ? ErrorCode::kAborted : event.code;
  out.emplace_back(SendFailed{code});
  end(State::kFailed, Error{code, 0, "failed here"}, out);
}

void Sender::on(const DoneCame&, Actions& out) {
  if (is_terminal()) return;
  out.emplace_back(TellDone{});
  end(State::kDone, Error{}, out);
}

void Sender::on(const AbortCame& event, Actions& out) {
  if (is_terminal()) return;
  const Error error{event.code, 0, "aborted by the peer"};
  out.emplace_back(TellAborted{error});
  end(State::kAborted, error, out);
}

void Sender::on(const PeerLost& event, Actions& out) {
  if (is_terminal()) return;
  out.emplace_back(TellAborted{event.error});
  end(State::kAborted, event.error, out);
}

void Sender::on(const Tick&, Actions& out) {
  if (is_terminal() || now_ < options_.deadline) return;
  const Error error{ErrorCode::kDeadlineMissed, 0, "sender"};
  out.emplace_back(SendFailed{error.code});
  out.emplace_back(TellAborted{error});
  end(State::kAborted, error, out);
}

void Sender::end(State state, Error error, Actions& out) {
  state_ = state;
  grants_.clear();
  out.emplace_back(DropData{});
  out.emplace_back(ReportEnd{error});
}

}  // namespace sluice::transport
