#include "transport/tcp/tls_handshake.h"

#include <utility>

namespace sluice::transport::tcp {
namespace {

constexpr Duration kLingerTime = std::chrono::milliseconds(500);

}  // namespace

void TlsHandshake::start(Role role, Done done) {
  done_ = std::move(done);
  timer_.expires_after(timeout_);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& stopped) {
    if (!stopped) self->give_up(Error{ErrorCode::kPeerSilent, 0, "no TLS handshake in time"});
  });
  stream_.async_handshake(role,
                          [self = shared_from_this()](const boost::system::error_code& error) { self->ended(error); });
}

void TlsHandshake::give_up(Error error) {
  boost::system::error_code ignored;
  stream_.lowest_layer().close(ignored);
  finish(error);
}

void TlsHandshake::ended(const boost::system::error_code& error) {
  if (!done_) return;
  if (!error) return finish(&stream_);
  // OpenSSL has just sent the alert that tells the peer why, but for bytes that are no TLS at all.
  const Error cause = stream_error(stream_, error, "TLS handshake");
  if (cause.code == ErrorCode::kTlsMismatch) send_version_alert(stream_.lowest_layer().native_handle());
  linger();
  finish(cause);
}

void TlsHandshake::finish(Result<TlsStream*> outcome) {
  if (!done_) return;
  if (outcome) timer_.cancel();
  Done done;
  done.swap(done_);
  done(outcome);
}

// Closed at once, a socket with unread bytes resets the connection, and the alert may never be read.
void TlsHandshake::linger() {
  boost::system::error_code ignored;
  stream_.lowest_layer().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  timer_.expires_after(kLingerTime);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& stopped) {
    boost::system::error_code unheard;
    if (!stopped) self->stream_.lowest_layer().close(unheard);
  });
  read_off();
}

void TlsHandshake::read_off() {
  stream_.next_layer().async_read_some(
      asio::buffer(unread_), [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
        if (error || size >= self->unread_left_) {
          self->timer_.cancel();
          return;
        }
        self->unread_left_ -= size;
        self->read_off();
      });
}

}  // namespace sluice::transport::tcp
