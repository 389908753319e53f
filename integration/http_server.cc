#include "integration/http_server.h"

#include <cerrno>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "integration/beast.h"

namespace sluice::integration {
namespace {

using Socket = asio::ip::tcp::socket;

constexpr std::string_view kFull =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    "too many connections; ask again later\n";

HttpResponse response_to(const boost::system::error_code& failure) {
  if (failure == http::error::body_limit)
    return {413, "text/plain; charset=utf-8", "body is larger than 8 MiB; send less\n"};
  if (failure == http::error::header_limit) {
    return {431, "text/plain; charset=utf-8", "header is larger than 8 KiB; send less\n"};
  }
  return {400, "text/plain; charset=utf-8", "not an HTTP/1.1 request; correct it\n"};
}

/// Whether the bytes were read but are not what HTTP allows, so that an answer still makes sense.
bool is_malformed(const boost::system::error_code& failure) {
  return failure && failure != http::error::end_of_stream && failure != http::error::partial_message &&
         failure.category() == http::make_error_code(http::error::bad_method).category();
}

}  // namespace

/// The listener and the set of live connections; each connection holds it, so it outlives their last callback.
class HttpServer::State : public std::enable_shared_from_this<State> {
 public:
  class Connection;

  State(asio::io_context& loop, const HttpServerOptions& options, HttpHandler handler)
      : options_(options), acceptor_(loop), handler_(std::move(handler)) {}

  Result<void> listen(const Address& address);
  void accept();
  void close();
  void forget(Connection* connection) { connections_.erase(connection); }

  const HttpServerOptions options_;
  asio::ip::tcp::acceptor acceptor_;
  HttpHandler handler_;
  std::string listen_address_;
  std::set<Connection*> connections_;
  bool closed_ = false;
};

/// One client. Kept alive by its own pending callbacks and by a handler that has not answered yet.
class HttpServer::State::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<State> server, Socket socket)
      : server_(std::move(server)), stream_(std::move(socket)), patience_(stream_.get_executor()) {
    server_->connections_.insert(this);
  }
  ~Connection() { server_->forget(this); }

  void read_first() {
    stream_.expires_after(server_->options_.transfer_timeout);
    read_header();
  }

  void drop() {
    boost::system::error_code ignored;
    patience_.cancel();
    stream_.socket().shutdown(Socket::shutdown_both, ignored);
    stream_.socket().close(ignored);
  }

 private:
  // A kept connection may idle; from its first byte on, the request must come in time.
  void wait_for_next() {
    if (buffer_.size() > 0) return read_first();
    stream_.expires_after(server_->options_.idle_timeout);
    stream_.async_read_some(buffer_.prepare(1024), [self = shared_from_this()](const auto& failure, std::size_t count) {
      if (failure) return self->drop();
      self->buffer_.commit(count);
      self->read_first();
    });
  }

  void read_header() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(server_->options_.max_header.count()));
    parser_->body_limit(server_->options_.max_body.count());
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](const auto& failure, std::size_t) { self->on_request(failure); });
  }

  void on_request(const boost::system::error_code& failure) {
    if (is_malformed(failure)) {
      keep_alive_ = false;
      return write(response_to(failure));
    }
    if (failure || server_->closed_) return drop();
    keep_alive_ = parser_->get().keep_alive();
    const auto& message = parser_->get();
    HttpRequest request{std::string(message.method_string()), std::string(message.target()), message.body()};
    stream_.expires_never();
    const std::uint64_t number = ++request_number_;
    patience_.expires_after(server_->options_.response_timeout);
    patience_.async_wait([self = shared_from_this(), number](const boost::system::error_code& cancelled) {
      if (!cancelled) self->answer(number, {504, "text/plain; charset=utf-8", "no answer in time; ask again\n"});
    });
    server_->handler_(request, [self = shared_from_this(), number](HttpResponse response) {
      self->answer(number, std::move(response));
    });
  }

  void answer(std::uint64_t number, HttpResponse response) {
    if (number != request_number_ || answered_ == number) return;  // a second answer, or one that came too late
    answered_ = number;
    patience_.cancel();
    write(std::move(response));
  }

  void write(HttpResponse response) {
    if (!stream_.socket().is_open()) return;
    const auto status = static_cast<unsigned>(response.status);
    response_.emplace();
    response_->version(11);
    response_->result(status);
    response_->set(http::field::server, "sluice");
    response_->set(http::field::content_type, response.content_type);
    response_->keep_alive(keep_alive_);
    response_->body() = std::move(response.body);
    response_->prepare_payload();
    stream_.expires_after(server_->options_.transfer_timeout);
    http::async_write(stream_, *response_, [self = shared_from_this()](const auto& failure, std::size_t) {
      if (failure || !self->keep_alive_ || self->server_->closed_) return self->drop();
      self->wait_for_next();
    });
  }

  std::shared_ptr<State> server_;
  beast::tcp_stream stream_;
  asio::steady_timer patience_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
  std::uint64_t request_number_ = 0;
  std::uint64_t answered_ = 0;
  bool keep_alive_ = false;
};

Result<void> HttpServer::State::listen(const Address& address) {
  boost::system::error_code failure;
  const std::string host = address.host == "localhost" ? "127.0.0.1" : address.host;
  asio::ip::address where = asio::ip::make_address(host, failure);
  if (failure) {
    asio::ip::tcp::resolver resolver(acceptor_.get_executor());
    const auto found = resolver.resolve(host, "", failure);
    if (failure || found.empty()) return Error{ErrorCode::kUnreachable, failure.value(), "http listen address"};
    where = found.begin()->endpoint().address();
  }
  const asio::ip::tcp::endpoint endpoint(where, address.port);
  acceptor_.open(endpoint.protocol(), failure);
  if (!failure) acceptor_.set_option(asio::socket_base::reuse_address(true), failure);
  if (!failure) acceptor_.bind(endpoint, failure);
  if (!failure) acceptor_.listen(64, failure);
  if (failure) {
    const ErrorCode code = failure.value() == EADDRINUSE      ? ErrorCode::kAlreadyExists
                           : failure.value() == EADDRNOTAVAIL ? ErrorCode::kUnreachable
                                                              : ErrorCode::kIo;
    return Error{code, failure.value(), "http listen"};
  }
  listen_address_ = to_text({where.to_string(), acceptor_.local_endpoint(failure).port()});
  return {};
}

void HttpServer::State::accept() {
  acceptor_.async_accept([self = shared_from_this()](const boost::system::error_code& failure, Socket socket) {
    if (self->closed_ || failure == asio::error::operation_aborted) return;
    boost::system::error_code ignored;
    if (!failure && self->connections_.size() >= self->options_.max_connections) {
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(kFull.data(), kFull.size()), ignored);
      socket.close(ignored);
    } else if (!failure) {
      std::make_shared<Connection>(self, std::move(socket))->read_first();
    }
    self->accept();
  });
}

void HttpServer::State::close() {
  if (std::exchange(closed_, true)) return;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  // A drop may end a connection and so change the set.
  const std::set<Connection*> open = connections_;
  for (Connection* connection : open) {
    if (connections_.contains(connection)) connection->drop();
  }
}

HttpServer::HttpServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

HttpServer::~HttpServer() { close(); }

Result<std::unique_ptr<HttpServer>> HttpServer::open(transport::asio::io_context& loop, const Address& address,
                                                     const HttpServerOptions& options, HttpHandler handler) {
  auto state = std::make_shared<State>(loop, options, std::move(handler));
  if (Result<void> listening = state->listen(address); !listening) return listening.error();
  state->accept();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

const std::string& HttpServer::listen_address() const { return state_->listen_address_; }

std::size_t HttpServer::connections() const { return state_->connections_.size(); }

void HttpServer::close() { state_->close(); }

}  // namespace sluice::integration
