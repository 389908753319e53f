#include "transport/tcp/tcp_fabric.h"

#include <string>

#include "transport/shared_channel.h"
#include "transport/tcp/tcp_channel.h"

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

Result<std::unique_ptr<Channel>> make_channel(Tcp::socket socket, const TcpOptions& options) {
  auto connection = std::make_shared<TcpConnection>(std::move(socket), options);
  SLUICE_TRY(connection->set_up());
  return std::unique_ptr<Channel>(std::make_unique<SharedChannel<TcpConnection>>(std::move(connection)));
}

// One attempt to connect: resolve, connect to each address in turn, bounded by a timer.
class Attempt : public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(asio::io_context& loop, const TcpOptions& options, ChannelDone done)
      : socket_(loop), resolver_(loop), timer_(loop), options_(options), done_(std::move(done)) {}

  void start(const std::string& address) {
    const Result<HostPort> parts = split(address);
    if (!parts) {
      asio::post(socket_.get_executor(), [self = shared_from_this(), error = parts.error()] { self->finish(error); });
      return;
    }
    timer_.expires_after(options_.connect_timeout);
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
      self->finish(make_channel(std::move(self->socket_), self->options_));
    });
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
  TcpOptions options_;
  ChannelDone done_;
  std::vector<Tcp::endpoint> endpoints_;
  std::size_t next_ = 0;
};

// Accepts until closed. After a failure (no file handles left) it waits before it tries again.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(asio::io_context& loop, const TcpOptions& options, ChannelDone accepted)
      : acceptor_(loop), socket_(loop), retry_(loop), options_(options), accepted_(std::move(accepted)) {}

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
  }

 private:
  void accept_more() {
    acceptor_.async_accept(socket_, [self = shared_from_this()](const boost::system::error_code& error) {
      if (self->closed_) return;
      if (error) return self->accept_later();
      self->accepted_(make_channel(std::move(self->socket_), self->options_));
      if (!self->closed_) self->accept_more();
    });
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
  TcpOptions options_;
  ChannelDone accepted_;
  bool closed_ = false;
};

class TcpFabric final : public StreamFabric {
 public:
  TcpFabric(asio::io_context& loop, const TcpOptions& options) : loop_(loop), options_(options) {}
  ~TcpFabric() override { close(); }

  std::string_view name() const override { return "tcp"; }

  Result<std::string> listen(const std::string& address, ChannelDone accepted) override {
    auto listener = std::make_shared<Listener>(loop_, options_, std::move(accepted));
    SLUICE_ASSIGN(std::string bound, listener->open(loop_, address));
    listeners_.push_back(std::move(listener));
    return bound;
  }

  void connect(const std::string& address, ChannelDone done) override {
    std::erase_if(attempts_, [](const std::weak_ptr<Attempt>& attempt) { return attempt.expired(); });
    auto attempt = std::make_shared<Attempt>(loop_, options_, std::move(done));
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
  TcpOptions options_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::weak_ptr<Attempt>> attempts_;
};

}  // namespace

std::unique_ptr<StreamFabric> make_tcp_fabric(asio::io_context& loop, const TcpOptions& options) {
  return std::make_unique<TcpFabric>(loop, options);
}

}  // namespace sluice::transport::tcp
