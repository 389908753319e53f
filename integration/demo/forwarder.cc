#include "integration/demo/forwarder.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <vector>

#include "integration/address.h"

namespace sluice::integration::demo {

namespace {

namespace asio = transport::asio;
using Tcp = asio::ip::tcp;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kPieceBytes = 16 * 1024;
/// How much idle time a bucket may save up: a burst of this long at line rate.
constexpr Duration kBurst = std::chrono::milliseconds(2);

/// One direction of the wire: when the next piece has left it.
struct Wire {
  BitsPerSecond rate;
  SteadyTime busy_until{};

  SteadyTime send(Bytes size, SteadyTime now) {
    if (rate.is_zero()) return now;
    busy_until = std::max(busy_until, now - kBurst) + time_to_send(size, rate);
    return busy_until;
  }
};

/// What is done to the bytes towards the listening side, over all connections together.
struct Harm {
  std::optional<Bytes> flip_after;
  std::optional<Bytes> stall_after;
  std::uint64_t passed = 0;

  void apply(std::vector<std::byte>& piece) {
    const std::uint64_t first = passed;
    passed += piece.size();
    if (flip_after && flip_after->count() >= first && flip_after->count() < passed) {
      piece[flip_after->count() - first] ^= std::byte{0x10};
    }
  }
  bool stalls() const { return stall_after && passed >= stall_after->count(); }
};

/// Passes one direction of one connection on.
class Pump : public std::enable_shared_from_this<Pump> {
 public:
  Pump(asio::io_context& loop, std::shared_ptr<Tcp::socket> from, std::shared_ptr<Tcp::socket> to)
      : from_(std::move(from)), to_(std::move(to)), timer_(loop) {}

  Wire* wire = nullptr;
  Harm* harm = nullptr;
  Duration delay{0};
  /// Held in flight at most: what the wire carries during its delay, and a little.
  std::size_t capacity = kPieceBytes;
  /// Keeps wire and harm alive.
  std::shared_ptr<void> owner;

  void start() { read(); }

 private:
  struct Piece {
    std::vector<std::byte> bytes;
    SteadyTime due;
  };

  void read() {
    if (reading_ || ended_ || held_ >= capacity || (harm != nullptr && harm->stalls())) return;
    reading_ = true;
    from_->async_read_some(asio::buffer(buffer_), [self = shared_from_this()](const auto& error, std::size_t size) {
      self->took(error, size);
    });
  }

  void took(const boost::system::error_code& error, std::size_t size) {
    reading_ = false;
    if (error) {
      ended_ = true;
      if (queue_.empty() && !writing_) finish();
      return;
    }
    Piece piece{{buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(size)}, {}};
    if (harm != nullptr) harm->apply(piece.bytes);
    piece.due = wire->send(Bytes(size), std::chrono::steady_clock::now()) + delay;
    held_ += size;
    queue_.push_back(std::move(piece));
    wait();
    read();
  }

  void wait() {
    if (writing_ || queue_.empty()) return;
    writing_ = true;
    timer_.expires_at(queue_.front().due);
    timer_.async_wait([self = shared_from_this()](const auto& error) {
      if (!error) self->write();
    });
  }

  void write() {
    asio::async_write(*to_, asio::buffer(queue_.front().bytes),
                      [self = shared_from_this()](const auto& error, std::size_t) { self->wrote(error); });
  }

  void wrote(const boost::system::error_code& error) {
    writing_ = false;
    held_ -= queue_.front().bytes.size();
    queue_.pop_front();
    if (error) {
      ended_ = true;
      queue_.clear();
    }
    if (ended_ && queue_.empty()) return finish();
    wait();
    read();
  }

  /// The end of one direction is passed on as such; an abrupt end closes both sockets when both pumps let go of them.
  void finish() {
    boost::system::error_code ignored;
    to_->shutdown(Tcp::socket::shutdown_send, ignored);
    from_->shutdown(Tcp::socket::shutdown_receive, ignored);
  }

  std::shared_ptr<Tcp::socket> from_;
  std::shared_ptr<Tcp::socket> to_;
  asio::steady_timer timer_;
  std::array<std::byte, kPieceBytes> buffer_{};
  std::deque<Piece> queue_;
  std::size_t held_ = 0;
  bool reading_ = false;
  bool writing_ = false;
  bool ended_ = false;
};

}  // namespace

Result<Tcp::endpoint> numeric_endpoint(const std::string& text) {
  SLUICE_ASSIGN(const Address address, parse_address(text));
  boost::system::error_code error;
  const asio::ip::address host = asio::ip::make_address(address.host, error);
  if (error) return Error{ErrorCode::kInvalidArgument, 0, "address in numbers"};
  return Tcp::endpoint(host, address.port);
}

struct Forwarder::State : std::enable_shared_from_this<Forwarder::State> {
  explicit State(asio::io_context& context) : loop(context), acceptor(context) {}

  asio::io_context& loop;
  Tcp::acceptor acceptor;
  Tcp::endpoint target;
  Duration delay{0};
  Wire towards_target;
  Wire towards_listener;
  Harm harm;
  std::list<std::weak_ptr<Tcp::socket>> sockets;

  void accept() {
    acceptor.async_accept([self = shared_from_this()](const boost::system::error_code& error, Tcp::socket socket) {
      if (error) return;
      self->join(std::make_shared<Tcp::socket>(std::move(socket)));
      self->accept();
    });
  }

  void join(const std::shared_ptr<Tcp::socket>& near) {
    auto far = std::make_shared<Tcp::socket>(loop);
    sockets.remove_if([](const auto& socket) { return socket.expired(); });
    sockets.push_back(near);
    sockets.push_back(far);
    far->async_connect(target, [self = shared_from_this(), near, far](const boost::system::error_code& error) {
      if (error) return;  // near closes with its last owner: the dialling side sees the link's end
      self->pump(near, far, self->towards_target, nullptr);
      self->pump(far, near, self->towards_listener, &self->harm);
    });
  }

  void pump(std::shared_ptr<Tcp::socket> from, std::shared_ptr<Tcp::socket> to, Wire& wire, Harm* done_to_it) {
    boost::system::error_code ignored;
    from->set_option(Tcp::no_delay(true), ignored);
    auto pump = std::make_shared<Pump>(loop, std::move(from), std::move(to));
    pump->wire = &wire;
    pump->harm = done_to_it;
    pump->delay = delay;
    const BitsPerSecond rate = wire.rate.is_zero() ? BitsPerSecond(10'000'000'000ULL) : wire.rate;
    pump->capacity = std::max(kPieceBytes * 4, sent_within(delay + kBurst * 5, rate).count());
    pump->owner = shared_from_this();
    pump->start();
  }
};

Forwarder::Forwarder(std::shared_ptr<State> state) : state_(std::move(state)) {}

Forwarder::~Forwarder() {
  boost::system::error_code ignored;
  state_->acceptor.close(ignored);
  for (const auto& socket : state_->sockets) {
    if (const auto held = socket.lock()) held->close(ignored);
  }
}

std::uint16_t Forwarder::port() const { return state_->acceptor.local_endpoint().port(); }

Result<std::unique_ptr<Forwarder>> Forwarder::open(asio::io_context& loop, const ForwarderOptions& options) {
  auto state = std::make_shared<State>(loop);
  SLUICE_ASSIGN(const Tcp::endpoint listen, numeric_endpoint(options.listen));
  SLUICE_ASSIGN(state->target, numeric_endpoint(options.target));
  state->delay = options.delay;
  state->towards_target.rate = options.rate;
  state->towards_listener.rate = options.rate;
  state->harm.flip_after = options.flip_after;
  state->harm.stall_after = options.stall_after;
  boost::system::error_code error;
  state->acceptor.open(listen.protocol(), error);
  if (!error) state->acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) state->acceptor.bind(listen, error);
  if (!error) state->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return transport::from_asio(error, "link's listening address");
  state->accept();
  return std::unique_ptr<Forwarder>(new Forwarder(std::move(state)));
}

}  // namespace sluice::integration::demo
