// What the tcp fabric is told to be under TLS: version 1.3 alone, a certificate on both sides, each signed by an
// authority that the other names. Who a peer is, its certificate says: the name in its greeting must be a DNS name of
// the certificate's subject alternative names.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"

namespace sluice::transport::tcp {

/// Files in PEM. They are read again when they have changed on disk: sessions made after that use the new ones; when
/// the new ones do not fit together, the old ones stay in use.
struct TlsOptions {
  /// The node's own certificate, then those between it and the authority.
  std::string certificate;
  /// Its private key, not encrypted.
  std::string key;
  /// The authorities whose certificates peers must have.
  std::string authorities;
  /// This node's name; the certificate must carry it.
  std::string node_name;
  /// Peers that may connect and be connected to; empty = any that an authority signed.
  std::vector<std::string> allowed_names;
  Duration handshake_timeout = std::chrono::seconds(2);
  /// Handshakes of connecting peers at a time; beyond, the oldest is given up.
  std::size_t max_handshakes = 64;
};

/// What a node's own certificate says.
struct CertificateFacts {
  /// DNS names of the subject alternative names.
  std::vector<std::string> names;
  /// Above zero: not yet valid.
  std::chrono::seconds until_start{0};
  /// Below zero: expired.
  std::chrono::seconds until_end{0};
  /// Whether one of the node's own authorities signed it, dates left aside.
  bool is_signed = false;
};

/// Reads all files as a node would when it starts.
/// Errors: kNotFound, kIo (a file is not there, not readable), kConfigInvalid (not PEM, the key is encrypted or belongs
/// to another certificate); `where` names the key of the configuration.
Result<CertificateFacts> read_certificate(const TlsOptions& options);

}  // namespace sluice::transport::tcp
