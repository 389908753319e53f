#include "transport/receiver.h"

namespace sluice::transport {

Receiver::Actions Receiver::step(const Event& event, Instant now) {
  Actions out;
  now_ = now;
  std::visit([&](const auto& it) { on(it, out); }, event);
  return out;
}

Instant Receiver::wake_at() const { return is_terminal() ? resend_at_ : options_.deadline; }

Result<void> Receiver::may_grant(UnitKey unit, Part part) const {
  if (!is_open() || !covers(unit)) return Error{ErrorCode::kNotFound, 0, "grant"};
  if (outstanding_.contains({unit, part})) return Error{ErrorCode::kAlreadyExists, 0, "grant"};
  return {};
}

bool Receiver::covers(UnitKey unit) const {
  return unit.request == options_.request && !raw_size(shape_, unit).is_zero();
}

void Receiver::on(const Accepted& event, Actions& out) {
  if (state_ != State::kOpening) return;
  shape_ = event.shape;
  state_ = State::kStreaming;
  out.emplace_back(TellAccept{event.shape});
}

void Receiver::on(const Rejected& event, Actions& out) {
  if (state_ == State::kOpening) fail(Error{event.reject.code, 0, "rejected by the peer"}, false, out);
}

void Receiver::on(const Offered& event, Actions& out) {
  if (is_open() && covers(event.offer.unit)) out.emplace_back(TellOffer{event.offer});
}

void Receiver::on(const Granted& event, Actions&) {
  if (is_open()) outstanding_.emplace(std::pair(event.unit, event.part), 0U);
}

void Receiver::on(const PartCame& event, Actions& out) {
  const auto at = outstanding_.find({event.unit, event.part});
  if (!is_open() || at == outstanding_.end()) return;
  if (event.code == ErrorCode::kOk) {
    outstanding_.erase(at);
    out.emplace_back(TellPart{});
  } else if (at->second < options_.part_retries) {
    ++at->second;
    out.emplace_back(GrantAgain{});
  } else {
    fail(Error{event.code, 0, "part after its last retry"}, true, out);
  }
}

void Receiver::on(const SealCame& event, Actions& out) {
  if (state_ != State::kStreaming) return;
  state_ = State::kSealed;
  out.emplace_back(TellSealed{event.units});
}

void Receiver::on(const PeerFailed& event, Actions& out) {
  if (!is_terminal()) fail(Error{event.code, 0, "failed at the peer"}, false, out);
}

void Receiver::on(const FinishAsked&, Actions& out) {
  if (is_terminal()) return;
  end(State::kDone, Error{}, out);
  say_end(out);
}

void Receiver::on(const AbortAsked& event, Actions& out) {
  if (is_terminal()) return;
  end_code_ = event.code == ErrorCode::kOk ? ErrorCode::kAborted : event.code;
  end(State::kAborted, Error{end_code_, 0, "aborted here"}, out);
  say_end(out);
}

void Receiver::on(const EndAcknowledged&, Actions& out) {
  if (is_terminal()) out.emplace_back(Forget{});
}

void Receiver::on(const PeerLost& event, Actions& out) {
  if (!is_terminal()) {
    fail(event.error, false, out);
  } else {
    out.emplace_back(Forget{});
  }
}

void Receiver::on(const Tick&, Actions& out) {
  if (!is_terminal()) {
    if (now_ >= options_.deadline) fail(Error{ErrorCode::kDeadlineMissed, 0, "receiver"}, true, out);
  } else if (now_ >= resend_at_) {
    if (resends_ >= kMaxResends) {
      out.emplace_back(Forget{});
    } else {
      ++resends_;
      say_end(out);
    }
  }
}

void Receiver::fail(Error error, bool tell_peer, Actions& out) {
  end_code_ = error.code;
  end(State::kFailed, error, out);
  out.emplace_back(TellFailed{error});
  if (tell_peer) {
    say_end(out);
  } else {
    out.emplace_back(Forget{});
  }
}

void Receiver::end(State state, Error error, Actions& out) {
  state_ = state;
  outstanding_.clear();
  out.emplace_back(RevokeLeases{});
  out.emplace_back(ReportEnd{error});
}

void Receiver::say_end(Actions& out) {
  resend_at_ = now_ + options_.resend;
  if (state_ == State::kDone) {
    out.emplace_back(SendDone{});
  } else {
    out.emplace_back(SendAbort{end_code_});
  }
}

}  // namespace sluice::transport
