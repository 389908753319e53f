#include "transport/tcp/tcp_fabric.h"

#include <deque>
#include <string>

#include "transport/shared_channel.h"
#include "transport/tcp/tcp_channel.h"
#include "transport/tcp/tls_context.h"
#include "transport/tcp/tls_handshake.h"

namespace sluice::transport::tcp {
namespace {

using Tcp = asio::ip::tcp;

struct HostPort {
  std::string host;
  std::string port;
};

// "host:port", "[v6]:port".
Result<HostPort> split(const std::string& address) {
  const Error bad{ErrorCode::kInvalidArgument, 0, "address is not host:port"};
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) return bad;
  HostPort parts{address.substr(0, colon), address.substr(colon + 1)};
  if (parts.host.front() == '[' && parts.host.back() == ']') parts.host = parts.host.substr(1, parts.host.size() - 2);
  const bool digits = parts.port.find_first_not_of("0123456789") == std::string::npos;
  if (parts.host.empty() || !digits || parts.port.size() > 5 || std::stoul(parts.port) > 65535) return bad;
  return parts;
}

std::string text(const Tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  const std::string port = std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + host + "]:" + port : host + ":" + port;
}

template <typename Stream>
Result<std::unique_ptr<Channel>> make_channel(Stream stream, const TcpOptions& options,
                                              std::vector<std::string> proven_names) {
  using Connection = TcpConnection<Stream>;
  auto connection = std::make_shared<Connection>(std::move(stream), options, std::move(proven_names));
  SLUICE_TRY(connection->set_up());
  return std::unique_ptr<Channel>(std::make_unique<SharedChannel<Connection>>(std::move(connection)));
}

// What connections are made with; `tls` is null for plain ones. Handshakes may outlive the fabric.
struct Settings {
  TcpOptions options;
  std::shared_ptr<TlsContext> tls;
};

// `done` gets the channel, or what the handshake ended with.
std::shared_ptr<TlsHandshake> begin_tls(Tcp::socket socket, const Settings& settings, TlsHandshake::Role role,
                                        ChannelDone done) {
  auto handshake = std::make_shared<TlsHandshake>(std::move(socket), *settings.tls);
  handshake->start(role, [settings, done = std::move(done)](Result<TlsStream*> stream) {
    if (!stream) return done(stream.error());
    std::vector<std::string> names = settings.tls->proven_names(**stream);
    done(make_channel(std::move(**stream), settings.options, std::move(names)));
  });
  return handshake;
}

// One attempt to connect: resolve, connect to each address in turn, bounded by a timer; then TLS, bounded by its own.
class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(asio::io_context& loop, Settings settings, ChannelDone done)
      : socket_(loop), resolver_(loop), timer_(loop), settings_(std::move(settings)), done_(std::move(done)) {}

  void start(const std::string& address) {
    const Result<HostPort> parts = split(address);
    if (!parts) {
      asio::post(socket_.get_executor(), [self = shared_from_this(), error = parts.error()] { self->finish(error); });
      return;
    }
    timer_.expires_after(settings_.options.connect_timeout);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& stopped) {
      if (!stopped) self->give_up(Error{ErrorCode::kUnreachable, 0, "connect timeout"});
    });
    resolver_.async_resolve(
        parts->host, parts->port,
        [self = shared_from_this()](const boost::system::error_code& error, const Tcp::resolver::results_type& found) {
          self->resolved(error, found);
        });
  }

  void give_up(Error error) {
    resolver_.cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
    if (const auto running = handshake_.lock()) running->give_up(error);
    finish(error);
  }

 private:
  void resolved(const boost::system::error_code& error, const Tcp::resolver::results_type& found) {
    if (error) return finish(Error{ErrorCode::kUnreachable, error.value(), "resolve"});
    for (const auto& entry : found) endpoints_.push_back(entry.endpoint());
    try_next(Error{ErrorCode::kUnreachable, 0, "no address"});
  }

  void try_next(Error last) {
    if (!done_) return;
    if (next_ >= endpoints_.size()) return finish(last);
    boost::system::error_code ignored;
    socket_.close(ignored);
    socket_.async_connect(endpoints_[next_++], [self = shared_from_this()](const boost::system::error_code& error) {
      if (!self->done_) return;
      if (error) return self->try_next(Error{ErrorCode::kUnreachable, error.value(), "connect"});
      self->connected();
    });
  }

  void connected() {
    timer_.cancel();
    if (settings_.tls == nullptr) return finish(make_channel(std::move(socket_), settings_.options, {}));
    handshake_ = begin_tls(
        std::move(socket_), settings_, TlsHandshake::Role::client,
        [self = shared_from_this()](Result<std::unique_ptr<Channel>> made) { self->finish(std::move(made)); });
  }

  void finish(Result<std::unique_ptr<Channel>> outcome) {
    timer_.cancel();
    if (!done_) return;
    ChannelDone done;
    done.swap(done_);
    done(std::move(outcome));
  }

  Tcp::socket socket_;
  Tcp::resolver resolver_;
  asio::steady_timer timer_;
  Settings settings_;
  ChannelDone done_;
  std::weak_ptr<TlsHandshake> handshake_;
  std::vector<Tcp::endpoint> endpoints_;
  std::size_t next_ = 0;
};

// Accepts until closed. After a failure (no file handles left) it waits before it tries again.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(asio::io_context& loop, Settings settings, ChannelDone accepted)
      : acceptor_(loop), socket_(loop), retry_(loop), settings_(std::move(settings)), accepted_(std::move(accepted)) {}

  Result<std::string> open(asio::io_context& loop, const std::string& address) {
    SLUICE_ASSIGN(const HostPort parts, split(address));
    boost::system::error_code error;
    Tcp::resolver resolver(loop);
    const auto found = resolver.resolve(parts.host, parts.port, Tcp::resolver::passive, error);
    if (error || found.empty()) return Error{ErrorCode::kInvalidArgument, error.value(), "listen address"};
    const Tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(Tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return Error{ErrorCode::kIo, error.value(), "listen"};
    const std::string bound = text(acceptor_.local_endpoint(error));
    accept_more();
    return bound;
  }

  void close() {
    closed_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
    for (const auto& handshake : handshakes_) give_up(handshake, Error{ErrorCode::kDraining, 0, "listener closes"});
    handshakes_.clear();
  }

 private:
  void accept_more() {
    acceptor_.async_accept(socket_, [self = shared_from_this()](const boost::system::error_code& error) {
      if (self->closed_) return;
      if (error) return self->accept_later();
      self->take(std::move(self->socket_));
      if (!self->closed_) self->accept_more();
    });
  }

  void take(Tcp::socket socket) {
    if (settings_.tls == nullptr) return accepted_(make_channel(std::move(socket), settings_.options, {}));
    std::erase_if(handshakes_, [](const std::weak_ptr<TlsHandshake>& handshake) { return handshake.expired(); });
    // A peer that never ends its handshake must not keep others out: the oldest has had the longest time.
    if (handshakes_.size() >= settings_.tls->options().max_handshakes) {
      give_up(handshakes_.front(), Error{ErrorCode::kQueueFull, 0, "TLS handshakes"});
      handshakes_.pop_front();
    }
    handshakes_.push_back(begin_tls(std::move(socket), settings_, TlsHandshake::Role::server,
                                    [self = shared_from_this()](Result<std::unique_ptr<Channel>> made) {
                                      if (!self->closed_) self->accepted_(std::move(made));
                                    }));
  }

  static void give_up(const std::weak_ptr<TlsHandshake>& handshake, Error error) {
    if (const auto running = handshake.lock()) running->give_up(error);
  }

  void accept_later() {
    retry_.expires_after(std::chrono::milliseconds(100));
    retry_.async_wait([self = shared_from_this()](const boost::system::error_code& stopped) {
      if (!stopped && !self->closed_) self->accept_more();
    });
  }

  Tcp::acceptor acceptor_;
  Tcp::socket socket_;
  asio::steady_timer retry_;
  Settings settings_;
  ChannelDone accepted_;
  std::deque<std::weak_ptr<TlsHandshake>> handshakes_;
  bool closed_ = false;
};

class TcpFabric final : public StreamFabric {
 public:
  TcpFabric(asio::io_context& loop, Settings settings) : loop_(loop), settings_(std::move(settings)) {}
  ~TcpFabric() override { close(); }

  std::string_view name() const override { return settings_.tls == nullptr ? "tcp" : "tls"; }

  Result<std::string> listen(const std::string& address, ChannelDone accepted) override {
    auto listener = std::make_shared<Listener>(loop_, settings_, std::move(accepted));
    SLUICE_ASSIGN(std::string bound, listener->open(loop_, address));
    listeners_.push_back(std::move(listener));
    return bound;
  }

  void connect(const std::string& address, ChannelDone done) override {
    std::erase_if(attempts_, [](const std::weak_ptr<Attempt>& attempt) { return attempt.expired(); });
    auto attempt = std::make_shared<Attempt>(loop_, settings_, std::move(done));
    attempts_.push_back(attempt);
    attempt->start(address);
  }

  void close() override {
    for (const auto& listener : listeners_) listener->close();
    listeners_.clear();
    for (const auto& attempt : attempts_) {
      if (const auto running = attempt.lock()) running->give_up(Error{ErrorCode::kDraining, 0, "connect"});
    }
    attempts_.clear();
  }

 private:
  asio::io_context& loop_;
  Settings settings_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::weak_ptr<Attempt>> attempts_;
};

}  // namespace

std::unique_ptr<StreamFabric> make_tcp_fabric(asio::io_context& loop, const TcpOptions& options) {
  return std::make_unique<TcpFabric>(loop, Settings{options, nullptr});
}

Result<std::unique_ptr<StreamFabric>> open_tls_fabric(asio::io_context& loop, const TcpOptions& options,
                                                      const TlsOptions& tls) {
  SLUICE_ASSIGN(std::shared_ptr<TlsContext> context, TlsContext::open(tls));
  return std::unique_ptr<StreamFabric>(std::make_unique<TcpFabric>(loop, Settings{options, std::move(context)}));
}

}  // namespace sluice::transport::tcp
