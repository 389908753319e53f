// The admin port: a small HTTP/1.1 server on the node's own loop. Whoever connects costs a bounded amount of memory
// and time: connections, header, body, and the time to send or take them all have limits.
// Invariant: exactly one answer per request; a handler may give it at once or later, from the loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/quantity.h"
#include "base/result.h"
#include "integration/address.h"
#include "transport/asio.h"

namespace sluice::integration {

/// As it came in.
struct HttpRequest {
  std::string method;
  /// Path and query as sent, for instance "/v1/requests/7".
  std::string target;
  std::string body;
};

/// What goes back.
struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

/// Takes a request; calls `respond` once, now or later, on the loop thread. A second call is ignored, as is one after
/// the client has gone.
using HttpRespond = std::function<void(HttpResponse)>;
using HttpHandler = std::function<void(const HttpRequest&, HttpRespond respond)>;

/// What one client may cost.
struct HttpServerOptions {
  std::uint32_t max_connections = 64;
  Bytes max_header{8U << 10U};
  Bytes max_body{8U << 20U};
  /// For a whole request to arrive, and for a response to be taken.
  Duration transfer_timeout = std::chrono::seconds(10);
  /// Between requests of a kept connection.
  Duration idle_timeout = std::chrono::seconds(60);
  /// For a handler to answer; 504 after it.
  Duration response_timeout = std::chrono::minutes(11);
};

/// Threads: the loop's. close() before the loop ends; may be destroyed after it at any time.
class HttpServer {
 public:
  /// Listens at `address` (port 0 = any).
  /// Errors:  kUnreachable (no such local address), kAlreadyExists (in use), kIo.
  static Result<std::unique_ptr<HttpServer>> open(transport::asio::io_context& loop, const Address& address,
                                                  const HttpServerOptions& options, HttpHandler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// "host:port" in fact bound.
  const std::string& listen_address() const;
  std::size_t connections() const;
  /// Stops to listen and drops every connection. Idempotent.
  void close();

 private:
  class State;
  explicit HttpServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;  // shared with connections, whose last callbacks may come after us
};

}  // namespace sluice::integration
