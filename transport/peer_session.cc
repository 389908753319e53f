#include "transport/peer_session.h"

#include <algorithm>
#include <array>

#include "transport/handshake.h"

namespace sluice::transport {
namespace {

constexpr Duration kShortestSleep = std::chrono::milliseconds(1);

bool is_greeting(MessageType type) {
  return type == MessageType::kHello || type == MessageType::kHelloAck || type == MessageType::kHelloRefused;
}

// Events carry literals only; a name that the peer sent is matched with the ones we know.
std::string_view known_field(std::string_view sent) {
  constexpr std::array<std::string_view, 9> kFields{"name",   "version", "model",     "layout",   "rope",
                                                    "engine", "profile", "heartbeat", "max_frame"};
  const auto at = std::find(kFields.begin(), kFields.end(), sent);
  return at == kFields.end() ? std::string_view("other") : *at;
}

}  // namespace

PeerSession::PeerSession(SessionHome& home, PeerId peer, std::uint64_t data_key)
    : home_(home),
      peer_(peer),
      data_key_(data_key),
      data_sink_(*this),
      alarm_(home.parts.loop.make_alarm()),
      heartbeat_(home.options.heartbeat, home.options.misses, home.parts.clock.now()) {}

void PeerSession::start(SessionRole role, std::unique_ptr<Channel> channel, Connected connected) {
  role_ = role;
  connected_ = std::move(connected);
  control_ = std::move(channel);
  open_channels_ = 1;
  path_.control = home_.parts.stream.name();
  path_.data = path_.control;
  handshake_deadline_ = now() + home_.options.handshake_timeout;
  control_->start(*this);
  if (role_ == SessionRole::kConnecting) send_control(MessageType::kHello, UnitKey{}, encode(our_hello()));
  arm();
}

Hello PeerSession::our_hello() const {
  Hello hello = home_.hello;
  hello.data_key = data_key_;
  return hello;
}

Result<std::span<std::byte>> PeerSession::place(const FrameHeader& header) {
  const std::size_t length = header.length.count();
  if (!up_) {
    if (!is_greeting(header.type)) return Error{ErrorCode::kProtocolViolation, 0, "frame before the greeting"};
  } else {
    if (header.epoch != remote_.identity.epoch)
      return Error{ErrorCode::kProtocolViolation, 0, "frame of another epoch"};
    if (header.type == MessageType::kData) return place_data(header);
  }
  control_payload_.resize(length);
  return std::span(control_payload_);
}

Result<std::span<std::byte>> PeerSession::DataSink::place(const FrameHeader& header) {
  if (header.type != MessageType::kData) return Error{ErrorCode::kProtocolViolation, 0, "control on the data fabric"};
  session_.is_data_used_ = true;
  return session_.place(header);
}

void PeerSession::on_frame(const FrameHeader& header, std::span<const std::byte> payload) {
  if (header.type == MessageType::kData && up_) {
    on_data(header, payload);
    return;
  }
  if (closing_) return;
  Result<void> outcome;
  if (payload_digest(header, payload) != header.digest) {
    outcome = Error{ErrorCode::kDigestMismatch, 0, "control payload"};
  } else {
    outcome = up_ ? on_control(header, payload) : on_greeting(header, payload);
  }
  if (!outcome) close(outcome.error());
}

void PeerSession::on_progress(Bytes) { heartbeat_.heard(now()); }

Result<void> PeerSession::on_greeting(const FrameHeader& header, std::span<const std::byte> payload) {
  const bool from_listener = header.type != MessageType::kHello;
  if (from_listener != (role_ == SessionRole::kConnecting)) {
    return Error{ErrorCode::kProtocolViolation, 0, "greeting out of turn"};
  }
  if (header.type != MessageType::kHelloRefused) return on_hello(header.type, payload);
  SLUICE_ASSIGN(const HelloRefused refusal, decode_hello_refused(payload));
  return refused(Error{refusal.code, 0, "greeting refused by the peer"}, known_field(refusal.field));
}

Result<void> PeerSession::on_hello(MessageType type, std::span<const std::byte> payload) {
  SLUICE_ASSIGN(remote_, decode_hello(payload));
  std::optional<Refusal> refusal = refuse(home_.hello, remote_);
  if (!control_->vouches_for(remote_.identity.name)) {
    refusal = Refusal{Error{ErrorCode::kNameNotProven, 0, "name of the peer"}, "name"};
  }
  if (refusal) {
    const HelloRefused message{refusal->error.code, std::string(refusal->field)};
    if (type == MessageType::kHello) send_control(MessageType::kHelloRefused, UnitKey{}, encode(message));
    return refused(refusal->error, refusal->field);
  }
  attach_data();
  if (type == MessageType::kHello) send_control(MessageType::kHelloAck, UnitKey{}, encode(our_answer()));
  go_up();
  return {};
}

Hello PeerSession::our_answer() const {
  Hello hello = our_hello();
  if (home_.parts.data == nullptr || data_ != nullptr) return hello;
  hello.capabilities &= ~home_.parts.data->capability();
  hello.data_address.clear();
  return hello;
}

Error PeerSession::refused(Error error, std::string_view field) {
  emit(HandshakeRefused{peer_, error, field});
  return error;
}

void PeerSession::go_up() {
  up_ = true;
  handshake_deadline_ = Instant::never();
  if (data_ != nullptr) data_->start(data_sink_);
  tell_path();
  handler().on_up(*this, remote_);
  report_connected(static_cast<Session*>(this));
  if (home_.draining) send_goaway();
  arm();
}

void PeerSession::tell_path() {
  const std::string_view wanted = home_.parts.data == nullptr ? path_.control : home_.parts.data->name();
  emit(SessionUp{peer_, path_.data, path_.reason, wanted, PeerName(remote_.identity.name)});
}

void PeerSession::attach_data() {
  DataFabric* fabric = home_.parts.data;
  if (fabric == nullptr) return;
  path_.reason = "the peer has no such data fabric, or cannot reach us by it";
  if ((remote_.capabilities & fabric->capability()) == 0 || remote_.data_address.empty()) return;
  const AttachTurn turn = role_ == SessionRole::kListening ? AttachTurn::kFirst : AttachTurn::kSecond;
  auto channel = fabric->attach(DataFabric::Peering{remote_.data_address, data_key_, remote_.data_key, turn});
  if (!channel) {
    path_.reason = channel.error().where;
    return;
  }
  data_ = std::move(channel).value();
  ++open_channels_;
  path_.data = fabric->name();
  path_.reason = "both sides have it";
}

// A peer that could not take up the data fabric closes it before anything has gone that way: control carries all then.
void PeerSession::on_data_closed(Error error) {
  if (closing_ || is_data_used_ || role_ == SessionRole::kConnecting) return on_closed(error);
  --open_channels_;
  path_.data = path_.control;
  path_.reason = "the peer did not take up the data fabric";
  tell_path();
  // Not inside its own call, and before the session can end, which is posted too.
  post([gone = std::shared_ptr<Channel>(std::move(data_))] {});
}

void PeerSession::report_connected(Result<Session*> outcome) {
  Connected connected;
  connected.swap(connected_);
  if (connected) connected(outcome);
}

Result<void> PeerSession::on_control(const FrameHeader& header, std::span<const std::byte> payload) {
  switch (header.type) {
    case MessageType::kOpenAck:
    case MessageType::kReject:
    case MessageType::kOffer:
    case MessageType::kSeal:
    case MessageType::kDoneAck:
    case MessageType::kFailed:
    case MessageType::kAbortAck:
      return on_receiver_message(header, payload);
    case MessageType::kOpen:
    case MessageType::kGrant:
    case MessageType::kDone:
    case MessageType::kAbort:
      return on_sender_message(header, payload);
    case MessageType::kAnnounce:
    case MessageType::kPing:
    case MessageType::kPong:
    case MessageType::kGoaway:
      return on_peer_message(header, payload);
    case MessageType::kHello:
    case MessageType::kHelloAck:
    case MessageType::kHelloRefused:
      return Error{ErrorCode::kProtocolViolation, 0, "second greeting"};
    case MessageType::kData:
      break;
  }
  return {};  // a type of a newer peer: skipped
}

Result<void> PeerSession::on_peer_message(const FrameHeader& header, std::span<const std::byte> payload) {
  switch (header.type) {
    case MessageType::kAnnounce: {
      SLUICE_ASSIGN(const Announce announce, decode_announce(header.unit.request, payload));
      handler().on_announce(*this, announce);
      return {};
    }
    case MessageType::kPing: {
      SLUICE_ASSIGN(Ping ping, decode_ping(payload));
      ping.queued = control_->queued();
      send_control(MessageType::kPong, UnitKey{}, encode(ping));
      return {};
    }
    case MessageType::kPong: {
      SLUICE_ASSIGN(const Ping pong, decode_ping(payload));
      const Duration rtt = now().since_start() - pong.sent;
      if (pong.sequence <= ping_sequence_ && rtt > Duration(0)) meter_.pong(rtt);
      return {};
    }
    default: {
      SLUICE_TRY(decode_reason(payload));
      if (!remote_draining_) handler().on_goaway(*this);
      remote_draining_ = true;
      return {};
    }
  }
}

void PeerSession::send_control(MessageType type, UnitKey unit, std::vector<std::byte> payload) {
  FrameHeader header;
  header.type = type;
  header.unit = unit;
  send_frame(header, std::move(payload));
}

void PeerSession::send_frame(FrameHeader header, std::vector<std::byte> payload) {
  if (closing_) return;
  header.epoch = home_.hello.identity.epoch;
  header.length = Bytes(payload.size());
  header.digest = payload_digest(header, payload);
  OutgoingFrame frame;
  frame.header = header;
  frame.owned = std::move(payload);
  const Result<void> sent = control_->send(std::move(frame));
  if (!sent) close(sent.error());
}

Result<void> PeerSession::announce(const Announce& announce) {
  if (!up_ || closing_) return Error{ErrorCode::kPeerLost, 0, "announce"};
  if (announce.tokens.size() > kMaxPromptTokens) return Error{ErrorCode::kPromptTooLong, 0, "announce"};
  send_control(MessageType::kAnnounce, UnitKey{announce.request, {}, {}}, encode(announce));
  return {};
}

void PeerSession::send_goaway() {
  if (up_) send_control(MessageType::kGoaway, UnitKey{}, encode(Reason{ErrorCode::kDraining}));
}

std::size_t PeerSession::running_requests() const {
  const auto runs = [](const auto& entry) { return !entry.second.is_terminal(); };
  return static_cast<std::size_t>(std::count_if(receivers_.begin(), receivers_.end(), runs) +
                                  std::count_if(senders_.begin(), senders_.end(), runs));
}

void PeerSession::arm() {
  if (closing_) return;
  Instant wake = std::min(up_ ? heartbeat_.wake_at() : Instant::never(), handshake_deadline_);
  for (const auto& [request, machine] : receivers_) wake = std::min(wake, machine.wake_at());
  for (const auto& [request, machine] : senders_) wake = std::min(wake, machine.wake_at());
  armed_for_ = Instant::never();
  wake_by(wake);
}

void PeerSession::wake_by(Instant point) {
  if (closing_ || point >= armed_for_) return;
  armed_for_ = point;
  alarm_->set(std::max(point - now(), kShortestSleep), [this] { tick(); });
}

void PeerSession::tick() {
  if (closing_) return;
  if (now() >= handshake_deadline_) return close(Error{ErrorCode::kPeerSilent, 0, "no greeting in time"});
  if (armed_for_ != Instant::never()) heartbeat_.excuse(now() - armed_for_, now());
  if (up_ && heartbeat_.is_silent(now())) return close(Error{ErrorCode::kPeerSilent, 0, "missed heartbeats"});
  if (up_ && heartbeat_.take_ping(now())) {
    send_control(MessageType::kPing, UnitKey{}, encode(Ping{++ping_sequence_, now().since_start(), Bytes(0)}));
  }
  const Instant point = now();
  std::vector<RequestId> due_receivers;
  for (const auto& [request, machine] : receivers_) {
    if (machine.wake_at() <= point) due_receivers.push_back(request);
  }
  std::vector<RequestId> due_senders;
  for (const auto& [request, machine] : senders_) {
    if (machine.wake_at() <= point) due_senders.push_back(request);
  }
  for (const RequestId request : due_receivers) step(request, Receiver::Event(Receiver::Tick{}));
  for (const RequestId request : due_senders) step(request, Sender::Event(Sender::Tick{}));
  arm();
}

void PeerSession::close(Error error) {
  if (closing_) return;
  closing_ = true;
  down_error_ = error;
  alarm_->cancel();
  control_->close(error);
  if (data_ != nullptr) data_->close(error);
  post([this] { fail_requests(); });
}

void PeerSession::on_closed(Error error) {
  close(error);  // when the channel ended by itself
  SLUICE_ASSERT(open_channels_ > 0);
  if (--open_channels_ == 0) post([this] { finish_down(); });
}

void PeerSession::fail_requests() {
  std::vector<RequestId> requests;
  for (const auto& [request, machine] : receivers_) requests.push_back(request);
  for (const RequestId request : requests) step(request, Receiver::Event(Receiver::PeerLost{down_error_}));
  requests.clear();
  for (const auto& [request, machine] : senders_) requests.push_back(request);
  for (const RequestId request : requests) step(request, Sender::Event(Sender::PeerLost{down_error_}));
}

void PeerSession::finish_down() {
  fail_requests();
  free_slots(leases_.clear());
  if (up_) {
    emit(SessionDown{peer_, down_error_});
    handler().on_down(*this, down_error_);
  } else if (is_tls_failure(down_error_.code)) {
    refused(down_error_, "tls");
  }
  report_connected(down_error_);
  home_.ended(peer_);
}

}  // namespace sluice::transport
