// The Session of the tree: frames in and out of the channels, the greeting, liveness, and one Receiver or Sender
// machine per request. It decides nothing that the pure machines decide; it gives their actions hands.
//   peer_session.cc          channels, greeting, liveness, end
//   peer_session_receive.cc  requests that we opened (leases, slots, digests)
//   peer_session_send.cc     requests that the peer opened
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/event_sink.h"
#include "transport/endpoint.h"
#include "transport/fabric.h"
#include "transport/heartbeat.h"
#include "transport/lease.h"
#include "transport/link_meter.h"
#include "transport/receiver.h"
#include "transport/sender.h"
#include "transport/session.h"
#include "transport/staging.h"

namespace sluice::transport {

/// What an Endpoint lends to its sessions. Outlives them.
struct SessionHome {
  EndpointParts parts;
  EndpointOptions options;
  Hello hello;  ///< ours, without the data key, which each session has for itself
  std::shared_ptr<Staging> staging;
  bool draining = false;
  /// The session has ended and may be destroyed, not inside the call.
  std::function<void(PeerId)> ended;
};

enum class SessionRole : std::uint8_t { kConnecting, kListening };

/// Threads: the loop's.
class PeerSession final : public Session, private FrameSink {
 public:
  using Connected = std::function<void(Result<Session*>)>;

  PeerSession(SessionHome& home, PeerId peer, std::uint64_t data_key);
  /// `connected` may be empty. Called once.
  void start(SessionRole role, std::unique_ptr<Channel> channel, Connected connected);

  PeerId peer() const override { return peer_; }
  const Hello& remote() const override { return remote_; }
  PathInfo path() const override { return path_; }
  LinkSample link() const override { return meter_.sample(); }

  Result<void> open(const OpenRequest& request) override;
  Result<void> grant(UnitKey unit, Part part, Bytes size) override;
  void finish(RequestId request) override;
  void abort(RequestId request, ErrorCode why) override;

  Result<void> accept(RequestId request, const OpenAck& shape) override;
  Result<void> reject(RequestId request, ErrorCode why, Duration retry_after) override;
  Result<void> offer(const Offer& offer) override;
  Result<void> send_part(const GrantToken& token, std::span<const std::byte> payload, Keepalive keepalive) override;
  Result<void> seal(RequestId request, Units units) override;
  Result<void> fail(RequestId request, ErrorCode why) override;
  Result<void> announce(const Announce& announce) override;
  void close(Error error) override;

  void send_goaway();
  /// A slot came back somewhere: tells the handler if it was refused one.
  void slots_free();
  std::size_t running_requests() const;

 private:
  // The data channel's sink: the same frames; once it has carried something, its end is the session's end.
  class DataSink final : public FrameSink {
   public:
    explicit DataSink(PeerSession& session) : session_(session) {}
    Result<std::span<std::byte>> place(const FrameHeader& header) override;
    void on_frame(const FrameHeader& header, std::span<const std::byte> payload) override {
      session_.on_frame(header, payload);
    }
    void on_dropped(const FrameHeader& header) override { session_.on_dropped(header); }
    void on_progress(Bytes size) override { session_.on_progress(size); }
    void on_closed(Error error) override { session_.on_data_closed(error); }

   private:
    PeerSession& session_;
  };

  // FrameSink, of the control channel.
  Result<std::span<std::byte>> place(const FrameHeader& header) override;
  void on_frame(const FrameHeader& header, std::span<const std::byte> payload) override;
  void on_dropped(const FrameHeader& header) override;
  void on_progress(Bytes size) override;
  void on_closed(Error error) override;

  // Greeting.
  Result<void> on_greeting(const FrameHeader& header, std::span<const std::byte> payload);
  Result<void> on_hello(MessageType type, std::span<const std::byte> payload);
  Error refused(Error error, std::string_view field);
  void go_up();
  void attach_data();
  void tell_path();
  void on_data_closed(Error error);
  void report_connected(Result<Session*> outcome);
  Hello our_hello() const;
  /// As our_hello(), but offers the data fabric only when it reaches the peer.
  Hello our_answer() const;

  // Frames after the greeting.
  Result<void> on_control(const FrameHeader& header, std::span<const std::byte> payload);
  Result<void> on_peer_message(const FrameHeader& header, std::span<const std::byte> payload);
  Result<void> on_receiver_message(const FrameHeader& header, std::span<const std::byte> payload);
  Result<void> on_sender_message(const FrameHeader& header, std::span<const std::byte> payload);
  void send_control(MessageType type, UnitKey unit, std::vector<std::byte> payload);
  void send_frame(FrameHeader header, std::vector<std::byte> payload);
  void post(std::function<void()> task) { home_.parts.loop.post(std::move(task)); }

  // Time and end.
  void arm();
  void wake_by(Instant point);
  void tick();
  void fail_requests();
  void finish_down();

  // We want KV (peer_session_receive.cc).
  Result<std::span<std::byte>> place_data(const FrameHeader& header);
  void on_data(const FrameHeader& header, std::span<const std::byte> payload);
  void deliver(const Lease& lease, Bytes length);
  void grant_again(Lease lease);
  void send_grant(const Lease& lease);
  void step(RequestId request, const Receiver::Event& event);
  void run(RequestId request, const Receiver::Actions& actions);
  void run(RequestId request, const Receiver::Action& action);
  void free_slots(const std::vector<Lease>& leases);
  void measured(const std::optional<LinkSample>& sample);

  // We hold KV (peer_session_send.cc).
  void on_open_frame(const OpenRequest& request);
  Result<void> on_grant_frame(const FrameHeader& header, const Grant& grant);
  void step(RequestId request, const Sender::Event& event);
  void run(RequestId request, const Sender::Action& action);
  void report_end(RequestId request, const SenderOptions& options, Error error);
  Sender* find_open_sender(RequestId request);

  Instant now() const { return home_.parts.clock.now(); }
  void emit(const Event& event) { home_.parts.events.emit(event, now()); }
  SessionHandler& handler() { return home_.parts.handler; }

  SessionHome& home_;
  PeerId peer_;
  std::uint64_t data_key_;
  SessionRole role_ = SessionRole::kConnecting;
  Connected connected_;
  Hello remote_;
  PathInfo path_{"tcp", "tcp", "no data fabric here"};
  std::unique_ptr<Channel> control_;
  std::unique_ptr<Channel> data_;
  DataSink data_sink_;
  std::uint32_t open_channels_ = 0;
  bool is_data_used_ = false;
  bool up_ = false;
  bool closing_ = false;
  bool remote_draining_ = false;
  bool starved_ = false;
  Error down_error_;

  std::unique_ptr<Alarm> alarm_;
  Instant armed_for_ = Instant::never();
  Instant handshake_deadline_ = Instant::never();
  Heartbeat heartbeat_;
  std::uint64_t ping_sequence_ = 0;

  std::vector<std::byte> control_payload_;
  LeaseTable leases_;
  LinkMeter meter_;
  std::map<RequestId, Receiver> receivers_;
  std::map<RequestId, Sender> senders_;
};

}  // namespace sluice::transport
