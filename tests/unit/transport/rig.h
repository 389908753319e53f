// Two endpoints of one process, joined by real loopback TCP (and a data fabric when given), on one loop that the test
// turns until what it waits for has happened. Prefill holds units of known bytes; decode grants everything offered.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/event_sink.h"
#include "transport/asio_loop.h"
#include "transport/endpoint.h"
#include "transport/tcp/tcp_fabric.h"

namespace sluice::transport::test {

/// Counts events by their index in the variant.
class CountingSink final : public EventSink {
 public:
  void emit(const Event& event, Instant) override { ++counts_[event.index()]; }
  template <typename T>
  std::size_t count() const {
    const auto at = counts_.find(Event(T{}).index());
    return at == counts_.end() ? 0 : at->second;
  }

 private:
  std::map<std::size_t, std::size_t> counts_;
};

/// The bytes of a part: a function of where it belongs.
inline std::vector<std::byte> part_bytes(UnitKey unit, Part part, std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint64_t state = unit.request.value() * 1000003U + unit.chunk.value() * 8191U + unit.group.value() * 131U +
                        static_cast<std::uint64_t>(part);
  for (std::byte& byte : bytes) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    byte = static_cast<std::byte>(state >> 56U);
  }
  return bytes;
}

/// Keeps what it was told; the hooks, where set, answer.
class RecordingHandler : public SessionHandler {
 public:
  void on_up(Session& session, const Hello&) override {
    up.push_back(&session);
    last = &session;
  }
  void on_down(Session&, Error error) override { downs.push_back(error); }
  void on_open(Session& session, const OpenRequest& request) override {
    opens.push_back(request);
    if (open_hook) open_hook(session, request);
  }
  void on_grant(Session& session, const GrantToken& token) override {
    grants.push_back(token);
    if (grant_hook) grant_hook(session, token);
  }
  void on_peer_done(Session&, RequestId request) override { ended_sends[request].push_back(Error{}); }
  void on_peer_aborted(Session&, RequestId request, Error error) override { ended_sends[request].push_back(error); }
  void on_announce(Session&, const Announce& announce) override { announces.push_back(announce); }
  void on_accept(Session&, RequestId, const OpenAck& shape) override { accepts.push_back(shape); }
  void on_offer(Session& session, const Offer& offer) override {
    offers.push_back(offer);
    if (offer_hook) offer_hook(session, offer);
  }
  void on_part(Session& session, UnitKey unit, Part part, SlotHold hold) override {
    ++parts;
    if (part_hook) part_hook(session, unit, part, std::move(hold));
  }
  void on_sealed(Session& session, RequestId request, Units units) override {
    seals.push_back(units);
    if (sealed_hook) sealed_hook(session, request);
  }
  void on_request_failed(Session&, RequestId request, Error error) override { failures[request].push_back(error); }
  void on_slots_free(Session& session) override {
    ++slots_free;
    if (slots_free_hook) slots_free_hook(session);
  }
  void on_goaway(Session&) override { ++goaways; }

  std::vector<Session*> up;
  Session* last = nullptr;
  std::vector<Error> downs;
  std::vector<OpenRequest> opens;
  std::vector<GrantToken> grants;
  std::map<RequestId, std::vector<Error>> ended_sends;
  std::vector<Announce> announces;
  std::vector<OpenAck> accepts;
  std::vector<Offer> offers;
  std::size_t parts = 0;
  std::vector<Units> seals;
  std::map<RequestId, std::vector<Error>> failures;
  std::size_t slots_free = 0;
  std::size_t goaways = 0;
  std::function<void(Session&, const OpenRequest&)> open_hook;
  std::function<void(Session&, const GrantToken&)> grant_hook;
  std::function<void(Session&, const Offer&)> offer_hook;
  std::function<void(Session&, UnitKey, Part, SlotHold)> part_hook;
  std::function<void(Session&, RequestId)> sealed_hook;
  std::function<void(Session&)> slots_free_hook;
};

inline NodeIdentity node_identity(const std::string& name, std::uint64_t epoch) {
  NodeIdentity identity;
  identity.name = name;
  identity.epoch = Epoch(epoch);
  identity.model = ContentHash(1);
  identity.layout = ContentHash(2);
  return identity;
}

/// One node of the pair.
struct Node {
  RecordingHandler handler;
  CountingSink events;
  std::unique_ptr<StreamFabric> stream;
  std::unique_ptr<Endpoint> endpoint;
};

struct RigOptions {
  EndpointOptions endpoint;
  DataFabric* prefill_data = nullptr;
  DataFabric* decode_data = nullptr;
  /// Wraps decode's stream fabric, to disturb what it sees.
  std::function<std::unique_ptr<StreamFabric>(std::unique_ptr<StreamFabric>)> wrap_decode_stream;
  std::uint64_t decode_model = 1;
};

class Rig {
  asio::io_context own_loop_{1};
  AsioLoop turns_;

 public:
  explicit Rig(const RigOptions& options = {}) : turns_(own_loop_), loop(own_loop_) { open(options); }
  /// On a loop that outlives the rig, since something else of the test ends there.
  Rig(asio::io_context& shared_loop, const RigOptions& options) : turns_(shared_loop), loop(shared_loop) {
    open(options);
  }
  ~Rig() { shut(); }

  /// Turns the loop until `done`, or fails the test after a generous bound of real time.
  bool run_until(const std::function<bool()>& done) {
    const Instant bound = clock.now() + std::chrono::seconds(20);
    while (!done() && clock.now() < bound) loop.run_one_for(std::chrono::milliseconds(50));
    return done();
  }

  /// Decode connects to prefill. False when refused.
  bool join() {
    bool answered = false;
    decode.endpoint->connect(prefill.endpoint->listen_address(), [&](Result<Session*> session) {
      answered = true;
      if (!session) connect_error = session.error();
      decode_session = session ? *session : nullptr;
    });
    run_until([&] { return answered; });
    if (decode_session == nullptr) return false;
    return run_until([&] { return !prefill.handler.up.empty(); });
  }

  void close(Node& node) {
    if (node.endpoint == nullptr) return;
    bool closed = false;
    node.endpoint->async_close([&] { closed = true; });
    EXPECT_TRUE(run_until([&] { return closed; }));
    node.endpoint.reset();
  }

  void shut() {
    close(decode);
    close(prefill);
  }

  /// Prefill accepts everything, offers `chunks` x 1 unit of `size` bytes each and seals.
  void serve(std::uint32_t chunks, std::size_t size) {
    prefill.handler.open_hook = [chunks, size](Session& session, const OpenRequest& request) {
      OpenAck shape;
      shape.layout = KvLayout{Layers(1), Heads(1), HeadDim(64), 1, 1, 64, 100000.0};
      shape.tokens = Tokens(chunks);
      shape.chunk_tokens = Tokens(1);
      shape.group_layers = Layers(1);
      shape.units = Units(chunks);
      ASSERT_TRUE(session.accept(request.request, shape));
      for (std::uint32_t chunk = 0; chunk < chunks; ++chunk) {
        const UnitKey unit{request.request, ChunkIndex(chunk), LayerGroupIndex(0)};
        ASSERT_TRUE(session.offer(Offer{unit, {PartSize{Part::kBase, Bytes(size)}}}));
      }
      ASSERT_TRUE(session.seal(request.request, Units(chunks)));
    };
    prefill.handler.grant_hook = [size](Session& session, const GrantToken& token) {
      const auto bytes = std::make_shared<std::vector<std::byte>>(part_bytes(token.unit, token.part, size));
      ASSERT_TRUE(session.send_part(token, *bytes, bytes));
    };
  }

  /// Decode grants all that is offered as room comes, checks each part and finishes after `chunks` parts.
  void fetch(std::uint32_t chunks) {
    decode.handler.offer_hook = [this](Session& session, const Offer& offer) {
      wanted.push_back(offer);
      grant_wanted(session);
    };
    decode.handler.slots_free_hook = [this](Session& session) { grant_wanted(session); };
    decode.handler.part_hook = [this, chunks](Session& session, UnitKey unit, Part part, SlotHold hold) {
      const std::vector<std::byte> expected = part_bytes(unit, part, hold.bytes().size());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), hold.bytes().begin(), hold.bytes().end()));
      received[unit.request].insert(unit);
      if (received[unit.request].size() == chunks) session.finish(unit.request);
    };
  }

  void grant_wanted(Session& session) {
    while (!wanted.empty()) {
      const Offer offer = wanted.front();
      const Result<void> granted = session.grant(offer.unit, offer.parts[0].part, offer.parts[0].size);
      if (!granted && granted.error().code == ErrorCode::kNoSlot) return;
      wanted.erase(wanted.begin());
    }
  }

  static OpenRequest request(std::uint64_t id, Duration remaining = std::chrono::seconds(10)) {
    OpenRequest open;
    open.request = RequestId(id);
    open.remaining = remaining;
    open.tokens = {TokenId(1), TokenId(2)};
    return open;
  }

  MonotonicClock clock;
  asio::io_context& loop;
  /// Without it the loop stops for good whenever nobody waits for anything.
  asio::executor_work_guard<asio::io_context::executor_type> work{loop.get_executor()};
  Node prefill;
  Node decode;
  Session* decode_session = nullptr;
  Error connect_error;
  std::vector<Offer> wanted;
  std::map<RequestId, std::set<UnitKey>> received;

 private:
  void open(const RigOptions& options) {
    prefill.stream = tcp::make_tcp_fabric(loop, {});
    decode.stream = tcp::make_tcp_fabric(loop, {});
    if (options.wrap_decode_stream) decode.stream = options.wrap_decode_stream(std::move(decode.stream));
    EndpointOptions listening = options.endpoint;
    listening.listen = "127.0.0.1:0";
    prefill.endpoint = open_node(prefill, options.prefill_data, listening, node_identity("prefill", 11));
    NodeIdentity identity = node_identity("decode", 22);
    identity.model = ContentHash(options.decode_model);
    decode.endpoint = open_node(decode, options.decode_data, options.endpoint, identity);
  }

  std::unique_ptr<Endpoint> open_node(Node& node, DataFabric* data, const EndpointOptions& options,
                                      const NodeIdentity& identity) {
    const EndpointParts parts{turns_, *node.stream, data, clock, node.events, node.handler};
    auto endpoint = Endpoint::open(parts, options, identity);
    SLUICE_ASSERT(endpoint.has_value());
    return std::move(endpoint).value();
  }
};

}  // namespace sluice::transport::test
