// Requests that the peer opened here: offers, grants, parts on their way out.
#include "transport/peer_session.h"

namespace sluice::transport {
namespace {

Error no_request() { return Error{ErrorCode::kNotFound, 0, "no such running request"}; }

}  // namespace

Result<void> PeerSession::on_sender_message(const FrameHeader& header, std::span<const std::byte> payload) {
  const RequestId request = header.unit.request;
  switch (header.type) {
    case MessageType::kOpen: {
      SLUICE_ASSIGN(const OpenRequest open, decode_open(request, payload));
      on_open_frame(open);
      return {};
    }
    case MessageType::kGrant: {
      SLUICE_ASSIGN(const Grant grant, decode_grant(payload));
      return on_grant_frame(header, grant);
    }
    case MessageType::kDone:
      step(request, Sender::Event(Sender::DoneCame{}));
      // Acknowledged even when long forgotten: the peer says it again until it hears this.
      send_control(MessageType::kDoneAck, UnitKey{request, {}, {}}, {});
      return {};
    default: {
      SLUICE_ASSIGN(const Reason reason, decode_reason(payload));
      step(request, Sender::Event(Sender::AbortCame{reason.code}));
      send_control(MessageType::kAbortAck, UnitKey{request, {}, {}}, {});
      return {};
    }
  }
}

void PeerSession::on_open_frame(const OpenRequest& request) {
  if (senders_.contains(request.request)) return;  // said twice
  ErrorCode refusal = ErrorCode::kOk;
  if (home_.draining) refusal = ErrorCode::kDraining;
  if (senders_.size() >= home_.options.max_requests_per_session) refusal = ErrorCode::kQueueFull;
  if (refusal != ErrorCode::kOk) {
    const Reject reject{refusal, 10 * home_.options.heartbeat};
    send_control(MessageType::kReject, UnitKey{request.request, {}, {}}, encode(reject));
    return;
  }
  SenderOptions options;
  options.request = request.request;
  options.opened = now();
  options.deadline = options.opened + request.remaining + 2 * home_.options.heartbeat;
  senders_.emplace(request.request, Sender(options));
  emit(RequestOpened{request.request, peer_, Side::kSend, options.opened + request.remaining});
  wake_by(options.deadline);
  handler().on_open(*this, request);
}

Result<void> PeerSession::on_grant_frame(const FrameHeader& header, const Grant& grant) {
  const auto at = senders_.find(header.unit.request);
  if (at == senders_.end()) return {};  // crossed with our end of the request
  GrantToken token;
  token.unit = header.unit;
  token.part = header.part;
  token.slot = header.slot;
  token.generation = header.generation;
  token.max_length = grant.max_length;
  token.deadline = now() + grant.lease;
  step(header.unit.request, Sender::Event(Sender::GrantCame{token}));
  return {};
}

Sender* PeerSession::find_open_sender(RequestId request) {
  const auto at = senders_.find(request);
  return at != senders_.end() && at->second.is_open() ? &at->second : nullptr;
}

Result<void> PeerSession::accept(RequestId request, const OpenAck& shape) {
  const auto at = senders_.find(request);
  if (at == senders_.end() || at->second.state() != Sender::State::kDeciding) return no_request();
  if (!is_sound(shape)) return Error{ErrorCode::kInvalidArgument, 0, "shape of an accepted request"};
  step(request, Sender::Event(Sender::AcceptAsked{shape}));
  return {};
}

Result<void> PeerSession::reject(RequestId request, ErrorCode why, Duration retry_after) {
  const auto at = senders_.find(request);
  if (at == senders_.end() || at->second.state() != Sender::State::kDeciding) return no_request();
  const ErrorCode code = why == ErrorCode::kOk ? ErrorCode::kRejected : why;
  step(request, Sender::Event(Sender::RejectAsked{Reject{code, std::max(retry_after, Duration(0))}}));
  return {};
}

Result<void> PeerSession::offer(const Offer& offer) {
  const Sender* sender = find_open_sender(offer.unit.request);
  if (sender == nullptr) return no_request();
  if (raw_size(sender->shape(), offer.unit).is_zero() || offer.parts.size() > kMaxOfferedParts) {
    return Error{ErrorCode::kInvalidArgument, 0, "offer"};
  }
  emit(UnitOffered{offer.unit, Side::kSend});
  send_control(MessageType::kOffer, offer.unit, encode(offer));
  return {};
}

Result<void> PeerSession::send_part(const GrantToken& token, std::span<const std::byte> payload, Keepalive keepalive) {
  const Sender* sender = find_open_sender(token.unit.request);
  if (sender == nullptr || closing_) return no_request();
  SLUICE_TRY(sender->may_give(token));
  const Bytes size(payload.size());
  if (size.is_zero() || size > token.max_length || size > remote_.max_frame) {
    return Error{ErrorCode::kBadLength, 0, "send_part"};
  }
  OutgoingFrame frame;
  frame.header.type = MessageType::kData;
  frame.header.epoch = home_.hello.identity.epoch;
  frame.header.unit = token.unit;
  frame.header.part = token.part;
  frame.header.slot = token.slot;
  frame.header.generation = token.generation;
  frame.header.length = size;
  frame.header.digest = payload_digest(frame.header, payload);
  frame.payload = payload;
  frame.keepalive = std::move(keepalive);
  const Bytes raw = raw_size(sender->shape(), token.unit);
  frame.on_sent = [this, unit = token.unit, part = token.part, size, raw](Result<void> outcome) {
    if (outcome) emit(UnitMoved{unit, part, peer_, Side::kSend, size + Bytes(kFrameHeaderSize), raw});
  };
  Channel& channel = data_ != nullptr ? *data_ : *control_;
  is_data_used_ = is_data_used_ || data_ != nullptr;
  SLUICE_TRY(channel.send(std::move(frame)));
  step(token.unit.request, Sender::Event(Sender::PartGiven{token}));
  return {};
}

Result<void> PeerSession::seal(RequestId request, Units units) {
  const Sender* sender = find_open_sender(request);
  if (sender == nullptr || sender->state() != Sender::State::kStreaming) return no_request();
  step(request, Sender::Event(Sender::SealAsked{units}));
  return {};
}

Result<void> PeerSession::fail(RequestId request, ErrorCode why) {
  if (!senders_.contains(request)) return no_request();
  step(request, Sender::Event(Sender::FailAsked{why}));
  return {};
}

void PeerSession::step(RequestId request, const Sender::Event& event) {
  const auto at = senders_.find(request);
  if (at == senders_.end()) return;
  const Sender::Actions actions = at->second.step(event, now());
  const SenderOptions options = at->second.options();
  // Forgotten before anything is told: the handler may then use the same id again.
  if (at->second.is_terminal()) senders_.erase(at);
  for (const Sender::Action& action : actions) {
    if (const auto* ended = std::get_if<Sender::ReportEnd>(&action)) {
      report_end(request, options, ended->error);
    } else {
      run(request, action);
    }
  }
}

void PeerSession::run(RequestId request, const Sender::Action& action) {
  const UnitKey unit{request, {}, {}};
  if (const auto* accepted = std::get_if<Sender::SendOpenAck>(&action)) {
    send_control(MessageType::kOpenAck, unit, encode(accepted->shape));
  } else if (const auto* rejected = std::get_if<Sender::SendReject>(&action)) {
    send_control(MessageType::kReject, unit, encode(rejected->reject));
  } else if (const auto* sealed = std::get_if<Sender::SendSeal>(&action)) {
    emit(RequestSealed{request, Side::kSend, sealed->units});
    send_control(MessageType::kSeal, unit, encode(Seal{sealed->units}));
  } else if (const auto* failed = std::get_if<Sender::SendFailed>(&action)) {
    send_control(MessageType::kFailed, unit, encode(Reason{failed->code}));
  } else if (const auto* grant = std::get_if<Sender::TellGrant>(&action)) {
    const GrantToken& token = grant->token;
    emit(UnitGranted{token.unit, token.part, Side::kSend, token.slot, token.generation});
    handler().on_grant(*this, token);
  } else if (std::holds_alternative<Sender::TellDone>(action)) {
    handler().on_peer_done(*this, request);
  } else if (const auto* aborted = std::get_if<Sender::TellAborted>(&action)) {
    handler().on_peer_aborted(*this, request, aborted->error);
  } else if (std::holds_alternative<Sender::DropData>(action)) {
    control_->drop(request);
    if (data_ != nullptr) data_->drop(request);
  } else if (const auto* violation = std::get_if<Sender::Violation>(&action)) {
    close(violation->error);
  }
}

void PeerSession::report_end(RequestId request, const SenderOptions& options, Error error) {
  const Instant point = now();
  emit(RequestEnded{request, peer_, Side::kSend, error, point - options.opened, options.deadline - point});
}

}  // namespace sluice::transport
