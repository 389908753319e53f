// One TLS handshake over a connected socket. Nothing of Sluice's own is sent or read before it has ended well.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "base/result.h"
#include "transport/tcp/tls_context.h"

namespace sluice::transport::tcp {

/// Threads: the loop's. Kept alive by its running operations.
class TlsHandshake : public std::enable_shared_from_this<TlsHandshake> {
 public:
  using Role = asio::ssl::stream_base::handshake_type;
  /// The stream, to be moved from. Errors: kPeerSilent (too slow), kPeerLost, those of stream_error.
  using Done = std::function<void(Result<TlsStream*>)>;

  TlsHandshake(asio::ip::tcp::socket socket, TlsContext& context)
      : stream_(std::move(socket), context.newest()),
        timer_(stream_.get_executor()),
        timeout_(context.options().handshake_timeout) {}

  /// `done` is called once, from the loop.
  void start(Role role, Done done);
  /// Closes at once; `done` gets the error.
  void give_up(Error error);

 private:
  void ended(const boost::system::error_code& error);
  void finish(Result<TlsStream*> outcome);
  void linger();
  void read_off();

  TlsStream stream_;
  asio::steady_timer timer_;
  Duration timeout_;
  Done done_;
  std::array<std::byte, 1024> unread_{};
  std::size_t unread_left_ = 64U << 10U;
};

}  // namespace sluice::transport::tcp
