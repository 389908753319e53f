// Frames over TCP, plain or under TLS: gathered writes of header and payload, reads straight into the slot that the
// session names. Nothing of a payload is read before its header has been checked against the leases.
#pragma once

#include <memory>

#include "base/quantity.h"
#include "transport/asio.h"
#include "transport/fabric.h"
#include "transport/send_queue.h"
#include "transport/tcp/tls.h"

namespace sluice::transport::tcp {

/// Times and limits of every connection of the fabric.
struct TcpOptions {
  /// Kernel buffer per connection and direction; 0 = the system's choice.
  Bytes socket_buffer{0};
  /// Bytes that the kernel may hold unsent before we wait: small, so that control frames overtake data.
  Bytes unsent_low_water{256U << 10U};
  /// The connection dies when sent bytes stay unacknowledged for so long.
  Duration user_timeout = std::chrono::seconds(1);
  Duration connect_timeout = std::chrono::seconds(2);
  /// Per channel.
  SendLimits queue;
};

/// Plain TCP. Threads: the loop's. The fabric must outlive its channels; the loop must outlive the fabric.
std::unique_ptr<StreamFabric> make_tcp_fabric(asio::io_context& loop, const TcpOptions& options);

/// The same under TLS, named "tls": its channels exist only once both sides have proved who they are.
/// Errors: those of read_certificate; kConfigInvalid (the certificate lacks the node's name), kCertificateExpired.
Result<std::unique_ptr<StreamFabric>> open_tls_fabric(asio::io_context& loop, const TcpOptions& options,
                                                      const TlsOptions& tls);

}  // namespace sluice::transport::tcp
