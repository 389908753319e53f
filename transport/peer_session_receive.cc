// Requests that we opened: grants, leases, arriving parts.
#include "transport/peer_session.h"

namespace sluice::transport {

Result<void> PeerSession::open(const OpenRequest& request) {
  if (!up_ || closing_) return Error{ErrorCode::kPeerLost, 0, "open"};
  if (remote_draining_) return Error{ErrorCode::kDraining, 0, "open"};
  if (request.remaining <= Duration(0)) return Error{ErrorCode::kInvalidArgument, 0, "open without time left"};
  if (request.tokens.size() > kMaxPromptTokens) return Error{ErrorCode::kPromptTooLong, 0, "open"};
  if (receivers_.contains(request.request)) return Error{ErrorCode::kAlreadyExists, 0, "open"};
  if (receivers_.size() >= home_.options.max_requests_per_session) return Error{ErrorCode::kQueueFull, 0, "open"};
  ReceiverOptions options;
  options.request = request.request;
  options.opened = now();
  options.deadline = options.opened + request.remaining;
  options.resend = 2 * home_.options.heartbeat;
  options.part_retries = home_.options.part_retries;
  receivers_.emplace(request.request, Receiver(options));
  emit(RequestOpened{request.request, peer_, Side::kReceive, options.deadline});
  send_control(MessageType::kOpen, UnitKey{request.request, {}, {}}, encode(request));
  wake_by(options.deadline);
  return {};
}

Result<void> PeerSession::grant(UnitKey unit, Part part, Bytes size) {
  const auto at = receivers_.find(unit.request);
  if (at == receivers_.end() || closing_) return Error{ErrorCode::kNotFound, 0, "grant"};
  SLUICE_TRY(at->second.may_grant(unit, part));
  if (size > kMaxDataPayload) return Error{ErrorCode::kBadLength, 0, "grant"};
  Result<Slot> slot = home_.staging->take(size);
  if (!slot) {
    starved_ = starved_ || slot.error().code == ErrorCode::kNoSlot;
    return slot.error();
  }
  Lease lease;
  lease.unit = unit;
  lease.part = part;
  lease.slot = *slot;
  lease.deadline = at->second.options().deadline;
  leases_.add(lease);
  step(unit.request, Receiver::Event(Receiver::Granted{unit, part}));
  emit(UnitGranted{unit, part, Side::kReceive, lease.slot.index, lease.slot.generation});
  send_grant(lease);
  return {};
}

void PeerSession::send_grant(const Lease& lease) {
  FrameHeader header;
  header.type = MessageType::kGrant;
  header.unit = lease.unit;
  header.part = lease.part;
  header.slot = lease.slot.index;
  header.generation = lease.slot.generation;
  const Duration left = std::max(lease.deadline - now(), Duration(0));
  send_frame(header, encode(Grant{Bytes(lease.slot.bytes.size()), left}));
}

void PeerSession::finish(RequestId request) { step(request, Receiver::Event(Receiver::FinishAsked{})); }

void PeerSession::abort(RequestId request, ErrorCode why) { step(request, Receiver::Event(Receiver::AbortAsked{why})); }

Result<void> PeerSession::on_receiver_message(const FrameHeader& header, std::span<const std::byte> payload) {
  const RequestId request = header.unit.request;
  switch (header.type) {
    case MessageType::kOpenAck: {
      SLUICE_ASSIGN(const OpenAck shape, decode_open_ack(payload));
      step(request, Receiver::Event(Receiver::Accepted{shape}));
      return {};
    }
    case MessageType::kReject: {
      SLUICE_ASSIGN(const Reject reject, decode_reject(payload));
      step(request, Receiver::Event(Receiver::Rejected{reject}));
      return {};
    }
    case MessageType::kOffer: {
      SLUICE_ASSIGN(Offer offer, decode_offer(header.unit, payload));
      step(request, Receiver::Event(Receiver::Offered{std::move(offer)}));
      return {};
    }
    case MessageType::kSeal: {
      SLUICE_ASSIGN(const Seal seal, decode_seal(payload));
      step(request, Receiver::Event(Receiver::SealCame{seal.units}));
      return {};
    }
    case MessageType::kFailed: {
      SLUICE_ASSIGN(const Reason reason, decode_reason(payload));
      step(request, Receiver::Event(Receiver::PeerFailed{reason.code}));
      return {};
    }
    default:  // DONE_ACK, ABORT_ACK
      step(request, Receiver::Event(Receiver::EndAcknowledged{}));
      return {};
  }
}

Result<std::span<std::byte>> PeerSession::place_data(const FrameHeader& header) {
  Result<std::span<std::byte>> place = leases_.begin(header);
  if (place) {
    meter_.frame_began(now(), (header.flags & kFlagBackToBack) != 0);
    return place;
  }
  emit(UnitRefused{header.unit, header.part, peer_, place.error()});
  // Late for a revoked lease is legal: the bytes are read and dropped.
  if (place.error().code == ErrorCode::kStaleLease) return std::span<std::byte>();
  return place.error();
}

void PeerSession::on_data(const FrameHeader& header, std::span<const std::byte> payload) {
  const std::optional<Lease> lease = leases_.end(header.slot, header.generation);
  SLUICE_ASSERT(lease.has_value() && lease->filling);
  measured(meter_.frame_ended(header.length, now()));
  if (leases_.empty()) measured(meter_.quiet());
  const auto at = receivers_.find(header.unit.request);
  if (lease->revoked || closing_ || at == receivers_.end()) {
    home_.staging->free(lease->slot.index, lease->slot.generation);
    return;
  }
  const bool whole = payload_digest(header, payload) == header.digest;
  if (!whole) {
    emit(UnitRefused{header.unit, header.part, peer_, Error{ErrorCode::kDigestMismatch, 0, "unit payload"}});
  }
  const ErrorCode code = whole ? ErrorCode::kOk : ErrorCode::kDigestMismatch;
  const Receiver::Actions actions = at->second.step(Receiver::PartCame{header.unit, header.part, code}, now());
  bool slot_is_used = false;
  for (const Receiver::Action& action : actions) {
    if (std::holds_alternative<Receiver::TellPart>(action)) {
      slot_is_used = true;
      deliver(*lease, header.length);
    } else if (std::holds_alternative<Receiver::GrantAgain>(action)) {
      slot_is_used = true;
      grant_again(*lease);
    } else {
      run(header.unit.request, action);
    }
  }
  if (!slot_is_used) home_.staging->free(lease->slot.index, lease->slot.generation);
}

void PeerSession::deliver(const Lease& lease, Bytes length) {
  const Bytes raw = raw_size(receivers_.at(lease.unit.request).shape(), lease.unit);
  emit(UnitMoved{lease.unit, lease.part, peer_, Side::kReceive, length + Bytes(kFrameHeaderSize), raw});
  handler().on_part(*this, lease.unit, lease.part, home_.staging->hold(lease.slot, length));
}

void PeerSession::grant_again(Lease lease) {
  lease.slot = home_.staging->renew(lease.slot.index);
  lease.filling = false;
  leases_.add(lease);
  emit(UnitGranted{lease.unit, lease.part, Side::kReceive, lease.slot.index, lease.slot.generation});
  send_grant(lease);
}

void PeerSession::on_dropped(const FrameHeader& header) {
  if (header.type != MessageType::kData) return;
  const std::optional<Lease> lease = leases_.end(header.slot, header.generation);
  if (lease) home_.staging->free(lease->slot.index, lease->slot.generation);
}

void PeerSession::step(RequestId request, const Receiver::Event& event) {
  const auto at = receivers_.find(request);
  if (at == receivers_.end()) return;
  run(request, at->second.step(event, now()));
}

void PeerSession::run(RequestId request, const Receiver::Actions& actions) {
  for (const Receiver::Action& action : actions) run(request, action);
}

void PeerSession::run(RequestId request, const Receiver::Action& action) {
  if (const auto* accept = std::get_if<Receiver::TellAccept>(&action)) {
    handler().on_accept(*this, request, accept->shape);
  } else if (const auto* offered = std::get_if<Receiver::TellOffer>(&action)) {
    emit(UnitOffered{offered->offer.unit, Side::kReceive});
    handler().on_offer(*this, offered->offer);
  } else if (const auto* sealed = std::get_if<Receiver::TellSealed>(&action)) {
    emit(RequestSealed{request, Side::kReceive, sealed->units});
    handler().on_sealed(*this, request, sealed->units);
  } else if (const auto* failed = std::get_if<Receiver::TellFailed>(&action)) {
    handler().on_request_failed(*this, request, failed->error);
  } else if (std::holds_alternative<Receiver::RevokeLeases>(action)) {
    free_slots(leases_.revoke(request));
  } else if (const auto* ended = std::get_if<Receiver::ReportEnd>(&action)) {
    const ReceiverOptions& options = receivers_.at(request).options();
    emit(RequestEnded{request, peer_, Side::kReceive, ended->error, now() - options.opened, options.deadline - now()});
  } else if (std::holds_alternative<Receiver::SendDone>(action)) {
    send_control(MessageType::kDone, UnitKey{request, {}, {}}, {});
    wake_by(now() + 2 * home_.options.heartbeat);
  } else if (const auto* abort = std::get_if<Receiver::SendAbort>(&action)) {
    send_control(MessageType::kAbort, UnitKey{request, {}, {}}, encode(Reason{abort->code}));
    wake_by(now() + 2 * home_.options.heartbeat);
  } else if (std::holds_alternative<Receiver::Forget>(action)) {
    receivers_.erase(request);
  }
}

void PeerSession::free_slots(const std::vector<Lease>& leases) {
  for (const Lease& lease : leases) {
    if (lease.deadline <= now()) emit(LeaseExpired{peer_, lease.slot.index, lease.slot.generation});
    home_.staging->free(lease.slot.index, lease.slot.generation);
  }
}

void PeerSession::slots_free() {
  if (!starved_ || closing_) return;
  starved_ = false;
  handler().on_slots_free(*this);
}

void PeerSession::measured(const std::optional<LinkSample>& sample) {
  if (sample) emit(LinkMeasured{peer_, sample->rate, sample->rtt});
}

}  // namespace sluice::transport
