// OpenSSL's door, behind which the fabric's TLS lives: the context that every handshake begins with, and what of
// OpenSSL's errors and certificates the tree needs to know.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transport/asio.h"
#include "transport/tcp/tls.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <boost/asio/ssl.hpp>
#pragma GCC diagnostic pop

namespace sluice::transport::tcp {

using TlsStream = asio::ssl::stream<asio::ip::tcp::socket>;

/// Threads: the loop's.
class TlsContext {
 public:
  /// Errors: those of read_certificate; kConfigInvalid (the certificate lacks the node's name), kCertificateExpired.
  static Result<std::shared_ptr<TlsContext>> open(const TlsOptions& options);

  /// For the next handshake: looks whether the files have changed.
  asio::ssl::context& newest();
  /// Names that the peer's certificate carries and the options allow.
  std::vector<std::string> proven_names(TlsStream& stream) const;
  const TlsOptions& options() const { return options_; }

 private:
  using Stamps = std::array<std::filesystem::file_time_type, 3>;
  TlsContext(const TlsOptions& options, asio::ssl::context context, std::optional<Stamps> stamps)
      : options_(options), context_(std::move(context)), stamps_(stamps) {}
  static std::optional<Stamps> read_stamps(const TlsOptions& options);

  TlsOptions options_;
  asio::ssl::context context_;
  std::optional<Stamps> stamps_;
};

/// Tells the other end of a socket, in TLS's own words, that the two sides do not speak the same: alert
/// protocol_version. Does not wait.
void send_version_alert(int socket);

/// Our code for what ended a handshake or a stream; `native` keeps OpenSSL's reason, or that of the verification.
Error stream_error(TlsStream& stream, const boost::system::error_code& error, const char* where);
/// The same for a plain socket.
inline Error stream_error(asio::ip::tcp::socket&, const boost::system::error_code& error, const char* where) {
  return from_asio(error, where);
}

}  // namespace sluice::transport::tcp
