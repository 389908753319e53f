#include "transport/endpoint.h"

#include <map>
#include <random>

#include "transport/handshake.h"
#include "transport/peer_session.h"

namespace sluice::transport {
namespace {

class NodeEndpoint final : public Endpoint {
 public:
  NodeEndpoint(const EndpointParts& parts, const EndpointOptions& options, const NodeIdentity& identity,
               std::shared_ptr<Staging> staging)
      : home_{parts, options, make_hello(parts, options, identity), std::move(staging), false, [this](PeerId peer) {
                session_ended(peer);
              }} {
    home_.staging->set_on_free([this] { slot_freed(); });
  }
  ~NodeEndpoint() override {
    SLUICE_ASSERT(sessions_.empty());
    home_.staging->detach();
  }

  Result<void> listen() {
    if (home_.options.listen.empty()) return {};
    auto bound = home_.parts.stream.listen(home_.options.listen, [this](Result<std::unique_ptr<Channel>> channel) {
      if (!channel) return report(channel.error());
      adopt(SessionRole::kListening, std::move(channel).value(), {});
    });
    if (!bound) return bound.error();
    listen_address_ = *bound;
    return {};
  }

  const std::string& listen_address() const override { return listen_address_; }

  void connect(const std::string& address, std::function<void(Result<Session*>)> done) override {
    home_.parts.stream.connect(address, [this, done = std::move(done)](Result<std::unique_ptr<Channel>> channel) {
      if (!channel) {
        report(channel.error());
        return done(channel.error());
      }
      adopt(SessionRole::kConnecting, std::move(channel).value(), done);
    });
  }

  void drain() override {
    home_.draining = true;
    for (const auto& [peer, session] : sessions_) session->send_goaway();
  }

  std::size_t running_requests() const override {
    std::size_t running = 0;
    for (const auto& [peer, session] : sessions_) running += session->running_requests();
    return running;
  }

  Bytes ring_used() const override { return home_.staging->used(); }

  void async_close(std::function<void()> done) override {
    SLUICE_ASSERT(!closing_);
    closing_ = true;
    closed_ = std::move(done);
    home_.draining = true;
    home_.parts.stream.close();
    for (const auto& [peer, session] : sessions_) session->close(Error{ErrorCode::kDraining, 0, "endpoint closes"});
    report_closed();
  }

 private:
  static Hello make_hello(const EndpointParts& parts, const EndpointOptions& options, const NodeIdentity& identity) {
    Hello hello;
    hello.identity = identity;
    hello.max_frame = std::min(kMaxDataPayload, options.ring);
    hello.ring = options.ring;
    hello.heartbeat = options.heartbeat;
    if (parts.data != nullptr && parts.data->local_address().size() <= kMaxDataAddress) {
      const std::span<const std::byte> address = parts.data->local_address();
      hello.capabilities |= parts.data->capability();
      hello.data_address.assign(address.begin(), address.end());
    }
    return hello;
  }

  void adopt(SessionRole role, std::unique_ptr<Channel> channel, PeerSession::Connected connected) {
    if (closing_ || sessions_.size() >= home_.options.max_sessions) {
      const ErrorCode code = closing_ ? ErrorCode::kDraining : ErrorCode::kQueueFull;
      if (connected) connected(Error{code, 0, "sessions"});
      return;  // the channel closes as it goes
    }
    const PeerId peer(next_peer_++);
    auto session = std::make_unique<PeerSession>(home_, peer, new_key());
    PeerSession& started = *session;
    sessions_.emplace(peer, std::move(session));
    started.start(role, std::move(channel), std::move(connected));
  }

  // Peers that TLS kept apart have no session that could tell of it.
  void report(const Error& error) {
    if (!is_tls_failure(error.code)) return;
    home_.parts.events.emit(HandshakeRefused{PeerId(next_peer_++), error, "tls"}, home_.parts.clock.now());
  }

  std::uint64_t new_key() { return (static_cast<std::uint64_t>(random_()) << 32U) | random_(); }

  void session_ended(PeerId peer) {
    home_.parts.loop.post([this, peer] {
      sessions_.erase(peer);
      report_closed();
    });
  }

  void report_closed() {
    if (!closing_ || !sessions_.empty() || !closed_) return;
    std::function<void()> done;
    done.swap(closed_);
    home_.parts.loop.post(std::move(done));
  }

  // Many slots may come back in one turn of the loop; the sessions are told once, after it.
  void slot_freed() {
    if (telling_ || sessions_.empty()) return;
    telling_ = true;
    home_.parts.loop.post([this] {
      telling_ = false;
      std::vector<PeerId> peers;
      for (const auto& [peer, session] : sessions_) peers.push_back(peer);
      for (const PeerId peer : peers) sessions_.at(peer)->slots_free();
      if (closing_) report_closed();
    });
  }

  SessionHome home_;
  std::string listen_address_;
  std::map<PeerId, std::unique_ptr<PeerSession>> sessions_;
  std::uint32_t next_peer_ = 1;
  std::random_device random_;
  bool closing_ = false;
  bool telling_ = false;
  std::function<void()> closed_;
};

}  // namespace

Result<std::unique_ptr<Endpoint>> Endpoint::open(const EndpointParts& parts, const EndpointOptions& options,
                                                 const NodeIdentity& identity) {
  const bool sound = identity.name.size() <= kMaxNodeName && options.heartbeat >= std::chrono::milliseconds(1) &&
                     options.misses > 0 && options.max_sessions > 0;
  if (!sound) return Error{ErrorCode::kInvalidArgument, 0, "endpoint options"};
  SLUICE_ASSIGN(auto ring, Ring::open(options.ring, options.slots));
  auto staging = std::make_shared<Staging>(std::move(ring), parts.loop, parts.clock, parts.events);
  auto endpoint = std::make_unique<NodeEndpoint>(parts, options, identity, std::move(staging));
  SLUICE_TRY(endpoint->listen());
  return std::unique_ptr<Endpoint>(std::move(endpoint));
}

}  // namespace sluice::transport
