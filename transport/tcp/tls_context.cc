#include "transport/tcp/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <utility>

namespace sluice::transport::tcp {
namespace {

// A chain of a handful of certificates; a peer that is not known yet can make us read no more than this of one.
constexpr long kLongestChain = 16L << 10U;

// AES-128 first: the cheapest that is strong enough where the processor has it in hardware.
constexpr const char* kCiphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

template <auto Free>
struct Release {
  template <typename T>
  void operator()(T* held) const {
    Free(held);
  }
};
using Store = std::unique_ptr<X509_STORE_CTX, Release<X509_STORE_CTX_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Release<GENERAL_NAMES_free>>;

// An encrypted key would else ask for its password at the terminal.
int no_password(char*, int, int, void*) { return 0; }

Result<void> check_file(const std::string& path, const char* where) {
  std::error_code failure;
  if (!std::filesystem::is_regular_file(path, failure)) return Error{ErrorCode::kNotFound, failure.value(), where};
  if (::access(path.c_str(), R_OK) != 0) return Error{ErrorCode::kIo, errno, where};
  return {};
}

Error invalid(const char* where) {
  const int reason = ERR_GET_REASON(ERR_peek_last_error());
  ERR_clear_error();
  return Error{ErrorCode::kConfigInvalid, reason, where};
}

Result<void> load_key(SSL_CTX* context, const TlsOptions& options) {
  SSL_CTX_set_default_passwd_cb(context, no_password);
  if (SSL_CTX_use_PrivateKey_file(context, options.key.c_str(), SSL_FILETYPE_PEM) == 1) return {};
  const bool is_other = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
  return invalid(is_other ? "tls.key belongs to another certificate than tls.certificate"
                          : "tls.key is no PEM private key, or is encrypted");
}

Result<asio::ssl::context> load(const TlsOptions& options) {
  SLUICE_TRY(check_file(options.certificate, "tls.certificate"));
  SLUICE_TRY(check_file(options.key, "tls.key"));
  SLUICE_TRY(check_file(options.authorities, "tls.ca"));
  asio::ssl::context made(asio::ssl::context::tls);
  SSL_CTX* context = made.native_handle();
  ERR_clear_error();
  const bool is_set = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
                      SSL_CTX_set_ciphersuites(context, kCiphers) == 1 && SSL_CTX_set_num_tickets(context, 0) == 1;
  if (!is_set) return Error{ErrorCode::kUnsupported, ERR_GET_REASON(ERR_peek_last_error()), "TLS 1.3 of OpenSSL"};
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(context, kLongestChain);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) != 1)
    return invalid("tls.certificate is no PEM certificate");
  SLUICE_TRY(load_key(context, options));
  if (SSL_CTX_load_verify_locations(context, options.authorities.c_str(), nullptr) != 1)
    return invalid("tls.ca holds no PEM certificate");
  return made;
}

std::vector<std::string> names_of(const X509* certificate) {
  std::vector<std::string> found;
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int place = 0; names != nullptr && place < sk_GENERAL_NAME_num(names.get()); ++place) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), place);
    if (name->type != GEN_DNS) continue;
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    const std::string whole(text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    if (whole.find('\0') == std::string::npos) found.push_back(whole);
  }
  return found;
}

std::chrono::seconds until(const ASN1_TIME* point) {
  int days = 0;
  int seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, nullptr, point) != 1) return std::chrono::seconds::min();
  return std::chrono::hours(24) * days + std::chrono::seconds(seconds);
}

bool is_signed(SSL_CTX* context) {
  const Store store(X509_STORE_CTX_new());
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  if (X509_STORE_CTX_init(store.get(), SSL_CTX_get_cert_store(context), SSL_CTX_get0_certificate(context), chain) != 1)
    return false;
  X509_STORE_CTX_set_flags(store.get(), X509_V_FLAG_NO_CHECK_TIME);
  const bool good = X509_verify_cert(store.get()) == 1;
  ERR_clear_error();
  return good;
}

CertificateFacts facts_of(SSL_CTX* context) {
  const X509* certificate = SSL_CTX_get0_certificate(context);
  return {names_of(certificate), until(X509_get0_notBefore(certificate)), until(X509_get0_notAfter(certificate)),
          is_signed(context)};
}

Result<void> check_own(const CertificateFacts& facts, const TlsOptions& options) {
  if (std::find(facts.names.begin(), facts.names.end(), options.node_name) == facts.names.end())
    return Error{ErrorCode::kConfigInvalid, 0, "tls.certificate has no DNS name that is node.name"};
  if (facts.until_start.count() > 0 || facts.until_end.count() < 0)
    return Error{ErrorCode::kCertificateExpired, 0, "tls.certificate"};
  return {};
}

ErrorCode code_of_verification(long result) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return ErrorCode::kCertificateExpired;
    default:
      return ErrorCode::kCertificateUntrusted;
  }
}

// What a peer's alert, or OpenSSL's own look at the peer's bytes, says of the two sides.
ErrorCode code_of_reason(int reason) {
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return ErrorCode::kTlsMismatch;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return ErrorCode::kCertificateMissing;
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return ErrorCode::kCertificateExpired;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      return ErrorCode::kCertificateUntrusted;
    default:
      return ErrorCode::kTransportFailed;
  }
}

}  // namespace

Result<CertificateFacts> read_certificate(const TlsOptions& options) {
  SLUICE_ASSIGN(asio::ssl::context context, load(options));
  return facts_of(context.native_handle());
}

Result<std::shared_ptr<TlsContext>> TlsContext::open(const TlsOptions& options) {
  const std::optional<Stamps> stamps = read_stamps(options);
  SLUICE_ASSIGN(asio::ssl::context context, load(options));
  SLUICE_TRY(check_own(facts_of(context.native_handle()), options));
  return std::shared_ptr<TlsContext>(new TlsContext(options, std::move(context), stamps));
}

std::optional<TlsContext::Stamps> TlsContext::read_stamps(const TlsOptions& options) {
  Stamps stamps;
  std::size_t place = 0;
  for (const std::string* path : {&options.certificate, &options.key, &options.authorities}) {
    std::error_code failure;
    stamps[place++] = std::filesystem::last_write_time(*path, failure);
    if (failure) return std::nullopt;
  }
  return stamps;
}

asio::ssl::context& TlsContext::newest() {
  const std::optional<Stamps> stamps = read_stamps(options_);
  if (!stamps || stamps == stamps_) return context_;
  // Not to be tried again until the files change again: a half-written set is followed by another change.
  stamps_ = stamps;
  Result<asio::ssl::context> loaded = load(options_);
  if (loaded && check_own(facts_of(loaded->native_handle()), options_)) context_ = std::move(loaded).value();
  return context_;
}

std::vector<std::string> TlsContext::proven_names(TlsStream& stream) const {
  const X509* certificate = SSL_get0_peer_certificate(stream.native_handle());
  if (certificate == nullptr) return {};
  std::vector<std::string> names = names_of(certificate);
  const std::vector<std::string>& allowed = options_.allowed_names;
  if (allowed.empty()) return names;
  std::erase_if(
      names, [&](const std::string& name) { return std::find(allowed.begin(), allowed.end(), name) == allowed.end(); });
  return names;
}

void send_version_alert(int socket) {
  constexpr std::array<std::uint8_t, 7> kAlert = {21, 3, 3, 0, 2, 2, 70};
  (void)::send(socket, kAlert.data(), kAlert.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

Error stream_error(TlsStream& stream, const boost::system::error_code& error, const char* where) {
  if (error == asio::ssl::error::stream_truncated) return Error{ErrorCode::kPeerLost, 0, where};
  if (error.category() != asio::error::get_ssl_category()) return from_asio(error, where);
  const long verified = SSL_get_verify_result(stream.native_handle());
  if (verified != X509_V_OK) {
    return Error{code_of_verification(verified), static_cast<std::int32_t>(verified), "the peer's certificate"};
  }
  const int reason = ERR_GET_REASON(static_cast<unsigned long>(error.value()));
  const ErrorCode code = code_of_reason(reason);
  const bool is_alert = reason > SSL_AD_REASON_OFFSET;
  const bool is_ours = is_alert && code != ErrorCode::kTransportFailed && code != ErrorCode::kTlsMismatch;
  return Error{code, reason, is_ours ? "the peer refuses our certificate" : where};
}

}  // namespace sluice::transport::tcp
