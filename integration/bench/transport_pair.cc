#include "integration/bench/transport_pair.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <optional>
#include <random>
#include <vector>

#include "base/event_sink.h"
#include "transport/asio_loop.h"
#include "transport/endpoint.h"
#include "transport/tcp/tcp_fabric.h"

namespace sluice::integration::bench {
namespace {

using transport::GrantToken;
using transport::OpenAck;
using transport::OpenRequest;
using transport::Session;
using transport::SlotHold;

// The serving side opens its own request for the way back of round trips under the number of the other's, plus this.
constexpr std::uint64_t kBack = 1U << 30U;

Duration cpu_of_clock(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return Duration(0);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

UnitKey unit_of(RequestId request, std::size_t chunk) {
  return UnitKey{request, ChunkIndex(static_cast<std::uint32_t>(chunk)), LayerGroupIndex(0)};
}

OpenAck shape_of(std::size_t units) {
  OpenAck shape;
  shape.layout = transport::KvLayout{Layers(1), Heads(1), HeadDim(64), 1, 1, 64, 1e5};
  shape.tokens = Tokens(units);
  shape.chunk_tokens = Tokens(1);
  shape.group_layers = Layers(1);
  shape.units = Units(units);
  return shape;
}

// What both sides have: a pool, a way to gather fragments of it, and rounds of 64 KiB in both directions.
class Side : public transport::SessionHandler {
 public:
  void on_up(Session&, const transport::Hello&) override {}
  void on_down(Session&, Error error) override { failed_ = error; }
  void on_peer_done(Session&, RequestId) override {}
  void on_peer_aborted(Session&, RequestId, Error) override {}
  void on_announce(Session&, const transport::Announce&) override {}
  void on_offer(Session&, const transport::Offer&) override {}
  void on_sealed(Session&, RequestId, Units) override {}
  void on_request_failed(Session&, RequestId, Error error) override { failed_ = error; }
  void on_slots_free(Session&) override {}
  void on_goaway(Session&) override {}

 protected:
  /// Sends part `at` of the message at `offset` of the pool.
  void send(Session& session, const GrantToken& token, std::size_t offset, std::size_t size) {
    check(session.send_part(token, std::span(*pool_).subspan(offset, size), pool_));
  }
  void check(const Result<void>& outcome) {
    if (!outcome) failed_ = outcome.error();
  }

  std::shared_ptr<std::vector<std::byte>> pool_ = std::make_shared<std::vector<std::byte>>(make_pool());
  std::vector<std::uint32_t> order_ = fragment_order();
  std::vector<GrantToken> trip_tokens_;
  std::optional<Error> failed_;
};

/// Holds KV: answers grants with chunks, gathered chunks, or the other half of a round trip.
class Serving final : public Side {
 public:
  void on_open(Session& session, const OpenRequest& request) override {
    shape_ = static_cast<Shape>(request.tokens.at(0).value());
    offset_ = window_of(static_cast<std::uint64_t>(request.tokens.at(1).value()));
    const std::size_t units = shape_ == Shape::kRoundTrip ? kTrips : kChunksPerWindow;
    check(session.accept(request.request, shape_of(units)));
    if (shape_ != Shape::kRoundTrip) return;
    trip_tokens_.clear();
    OpenRequest back;
    back.request = RequestId(request.request.value() + kBack);
    back.remaining = request.remaining;
    check(session.open(back));
  }
  void on_accept(Session& session, RequestId request, const OpenAck&) override {
    for (std::size_t at = 0; at < kTrips; ++at) {
      check(session.grant(unit_of(request, at), Part::kRaw, Bytes(kMessage)));
    }
  }
  void on_grant(Session& session, const GrantToken& token) override {
    const std::size_t chunk = token.unit.chunk.value();
    if (shape_ == Shape::kRoundTrip) return trip_tokens_.push_back(token);
    if (shape_ == Shape::kChunks) return send(session, token, offset_ + chunk * kChunk, kChunk);
    const auto gathered = free_buffer();
    for (std::size_t at = 0; at < kFragmentsPerChunk; ++at) {
      const std::size_t from = order_[chunk * kFragmentsPerChunk + at];
      std::memcpy(gathered->data() + at * kFragment, pool_->data() + offset_ + from * kFragment, kFragment);
    }
    check(session.send_part(token, *gathered, gathered));
  }
  void on_part(Session& session, UnitKey unit, Part, SlotHold) override {
    const std::size_t trip = unit.chunk.value();
    send(session, trip_tokens_.at(trip), offset_ + trip * kMessage, kMessage);
    if (trip + 1 == kTrips) session.finish(unit.request);
  }

 private:
  std::shared_ptr<std::vector<std::byte>> free_buffer() {
    for (const auto& buffer : buffers_) {
      if (buffer.use_count() == 1) return buffer;
    }
    buffers_.push_back(std::make_shared<std::vector<std::byte>>(kChunk));
    return buffers_.back();
  }

  Shape shape_ = Shape::kChunks;
  std::size_t offset_ = 0;
  std::vector<std::shared_ptr<std::vector<std::byte>>> buffers_;
};

/// Wants KV: grants all, scatters fragments to their places, keeps what is to be judged afterwards.
class Wanting final : public Side {
 public:
  void on_open(Session& session, const OpenRequest& request) override {
    check(session.accept(request.request, shape_of(kTrips)));
  }
  void on_grant(Session& session, const GrantToken& token) override {
    trip_tokens_.push_back(token);
    if (trip_tokens_.size() == kTrips) start_trip(session);
  }
  void on_accept(Session& session, RequestId request, const OpenAck& shape) override {
    const std::size_t size = shape_ == Shape::kRoundTrip ? kMessage : kChunk;
    for (std::size_t at = 0; at < shape.units.count(); ++at) {
      check(session.grant(unit_of(request, at), Part::kRaw, Bytes(size)));
    }
  }
  void on_part(Session& session, UnitKey unit, Part, SlotHold hold) override {
    if (shape_ == Shape::kFragments) {
      scatter(unit.chunk.value(), hold.bytes());
    } else {
      held_.emplace_back(unit.chunk.value(), std::move(hold));
    }
    ++came_;
    if (shape_ == Shape::kRoundTrip) {
      trips_.push_back(clock_.now() - trip_began_);
      if (came_ < kTrips) return start_trip(session);
    } else if (came_ < kChunksPerWindow) {
      return;
    }
    ended_ = clock_.now();
    session.finish(unit.request);
    is_done_ = true;
  }

  void begin(Shape shape, std::size_t offset) {
    shape_ = shape;
    offset_ = offset;
    came_ = 0;
    is_done_ = false;
    trip_tokens_.clear();
    trips_.clear();
  }
  bool is_over() const { return is_done_ || failed_.has_value(); }
  const std::optional<Error>& failed() const { return failed_; }
  Instant now() const { return clock_.now(); }
  Instant ended() const { return ended_; }
  Duration median_trip() {
    if (trips_.empty()) return Duration(0);
    std::nth_element(trips_.begin(), trips_.begin() + kTrips / 2, trips_.end());
    return trips_[kTrips / 2];
  }
  /// Judges all that came, and lets go of it.
  bool is_right() {
    bool right = true;
    if (shape_ == Shape::kFragments) right = is_pool(std::span(target_).subspan(offset_, kWindow), offset_);
    const std::size_t size = shape_ == Shape::kRoundTrip ? kMessage : kChunk;
    for (const auto& [at, hold] : held_) {
      right = right && hold.bytes().size() == size && is_pool(hold.bytes(), offset_ + at * size);
    }
    held_.clear();
    // The next time these places must be filled again.
    if (shape_ == Shape::kFragments) std::memset(target_.data() + offset_, 0, kWindow);
    return right;
  }

 private:
  void scatter(std::size_t chunk, std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at < kFragmentsPerChunk; ++at) {
      const std::size_t to = order_[chunk * kFragmentsPerChunk + at];
      std::memcpy(target_.data() + offset_ + to * kFragment, bytes.data() + at * kFragment, kFragment);
    }
  }
  void start_trip(Session& session) {
    trip_began_ = clock_.now();
    send(session, trip_tokens_.at(came_), offset_ + came_ * kMessage, kMessage);
  }

  MonotonicClock clock_;
  Shape shape_ = Shape::kChunks;
  std::size_t offset_ = 0;
  std::size_t came_ = 0;
  bool is_done_ = false;
  Instant ended_;
  Instant trip_began_;
  std::vector<Duration> trips_;
  std::vector<std::pair<std::size_t, SlotHold>> held_;
  std::vector<std::byte> target_ = std::vector<std::byte>(kPool, std::byte{1});
};

/// An endpoint with its fabrics on a loop of somebody else's.
class BenchNode {
 public:
  BenchNode(transport::asio::io_context& loop, transport::SessionHandler& handler) : loop_(loop), handler_(handler) {}

  Result<void> open(const DataFabricOptions& fabric, const std::string& listen) {
    stream_ = transport::tcp::make_tcp_fabric(loop_, {});
    SLUICE_ASSIGN(data_, open_data_fabric(loop_, fabric));
    transport::NodeIdentity identity;
    identity.epoch = Epoch(std::random_device{}());
    transport::EndpointOptions options;
    options.listen = listen;
    options.misses = 100;  // the measuring side also blocks its loop for others' turns
    const transport::EndpointParts parts{turns_, *stream_, data_.get(), clock_, events_, handler_};
    SLUICE_ASSIGN(endpoint, transport::Endpoint::open(parts, options, identity));
    return {};
  }
  void close() {
    bool closed = false;
    endpoint->async_close([&] {
      if (data_ == nullptr) {
        closed = true;
      } else {
        data_->async_close([&] { closed = true; });
      }
    });
    while (!closed) loop_.run_one();
  }

  std::unique_ptr<transport::Endpoint> endpoint;

 private:
  transport::asio::io_context& loop_;
  transport::SessionHandler& handler_;
  transport::AsioLoop turns_{loop_};
  MonotonicClock clock_;
  NullEventSink events_;
  std::unique_ptr<transport::StreamFabric> stream_;
  std::unique_ptr<transport::DataFabric> data_;
};

class SessionPair final : public TransportPair {
 public:
  SessionPair(transport::asio::io_context& loop, int pid) : loop_(loop), pid_(pid) {}
  ~SessionPair() override { SLUICE_ASSERT(is_closed_); }

  Result<void> join(const DataFabricOptions& fabric, const std::string& address) {
    SLUICE_TRY(node_.open(fabric, ""));
    is_closed_ = false;
    std::optional<Result<Session*>> joined;
    node_.endpoint->connect(address, [&](Result<Session*> session) { joined = session; });
    while (!joined) loop_.run_one();
    if (!*joined) return joined->error();
    session_ = **joined;
    return {};
  }

  std::string carried_by() const override { return std::string(session_->path().data); }

  Result<Took> measure(Shape shape) override {
    if (wanting_.failed()) return *wanting_.failed();
    wanting_.begin(shape, window_of(transfers_));
    OpenRequest open;
    open.request = RequestId(transfers_ + 1);
    open.remaining = std::chrono::seconds(10);
    open.tokens = {TokenId(static_cast<std::int32_t>(shape)), TokenId(static_cast<std::int32_t>(transfers_))};
    ++transfers_;
    const Duration cpu = own_cpu() + cpu_of(pid_);
    const Instant began = wanting_.now();
    SLUICE_TRY(session_->open(open));
    while (!wanting_.is_over()) loop_.run_one();
    Took took;
    took.cpu = own_cpu() + cpu_of(pid_) - cpu;
    if (wanting_.failed()) return *wanting_.failed();
    took.wall = wanting_.ended() - began;
    took.median_trip = wanting_.median_trip();
    took.is_right = wanting_.is_right();
    return took;
  }

  void close() override {
    if (!is_closed_) node_.close();
    is_closed_ = true;
  }

 private:
  transport::asio::io_context& loop_;
  int pid_;
  Wanting wanting_;
  BenchNode node_{loop_, wanting_};
  Session* session_ = nullptr;
  std::uint64_t transfers_ = 0;
  bool is_closed_ = true;
};

}  // namespace

Duration cpu_of(int pid) {
  clockid_t clock{};
  if (clock_getcpuclockid(pid, &clock) != 0) return Duration(0);
  return cpu_of_clock(clock);
}

Duration own_cpu() { return cpu_of_clock(CLOCK_PROCESS_CPUTIME_ID); }

Result<void> serve_pool(const DataFabricOptions& fabric, const std::function<void(const std::string&)>& ready) {
  transport::asio::io_context loop{1};
  Serving serving;
  BenchNode node(loop, serving);
  SLUICE_TRY(node.open(fabric, "127.0.0.1:0"));
  ready(node.endpoint->listen_address());
  while (true) loop.run_one();
}

Result<std::unique_ptr<TransportPair>> TransportPair::open(transport::asio::io_context& loop,
                                                           const DataFabricOptions& fabric, const std::string& address,
                                                           int pid) {
  auto pair = std::make_unique<SessionPair>(loop, pid);
  const Result<void> joined = pair->join(fabric, address);
  if (!joined) {
    pair->close();
    return joined.error();
  }
  return std::unique_ptr<TransportPair>(std::move(pair));
}

}  // namespace sluice::integration::bench
