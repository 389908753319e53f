#include "transport/handshake.h"

#include <algorithm>

#include "base/assert.h"

namespace sluice::transport {
namespace {

// Zero says "not stated": a tool that only carries bytes has no engine.
bool contradicts(ContentHash local, ContentHash remote) {
  return local.value() != 0 && remote.value() != 0 && local != remote;
}

Refusal refusal(ErrorCode code, std::string_view field) { return Refusal{Error{code, 0, field.data()}, field}; }

bool is_sane(Duration heartbeat) {
  return heartbeat >= std::chrono::milliseconds(1) && heartbeat <= std::chrono::minutes(1);
}

}  // namespace

std::optional<Refusal> refuse(const Hello& local, const Hello& remote) {
  if (local.version_max < remote.version_min || remote.version_max < local.version_min) {
    return refusal(ErrorCode::kIncompatibleVersion, "version");
  }
  const NodeIdentity& ours = local.identity;
  const NodeIdentity& theirs = remote.identity;
  if (contradicts(ours.model, theirs.model)) return refusal(ErrorCode::kIncompatibleModel, "model");
  if (contradicts(ours.layout, theirs.layout)) return refusal(ErrorCode::kIncompatibleLayout, "layout");
  if (contradicts(ours.rope, theirs.rope)) return refusal(ErrorCode::kIncompatibleLayout, "rope");
  if (contradicts(ours.engine, theirs.engine)) return refusal(ErrorCode::kIncompatibleEngine, "engine");
  if (contradicts(ours.profile, theirs.profile)) return refusal(ErrorCode::kProfileMismatch, "profile");
  if (!is_sane(local.heartbeat) || !is_sane(remote.heartbeat)) return refusal(ErrorCode::kBadField, "heartbeat");
  if (local.max_frame.is_zero() || remote.max_frame.is_zero()) return refusal(ErrorCode::kBadField, "max_frame");
  return std::nullopt;
}

bool is_tls_failure(ErrorCode code) {
  return code == ErrorCode::kTlsMismatch || code == ErrorCode::kCertificateMissing ||
         code == ErrorCode::kCertificateExpired || code == ErrorCode::kCertificateUntrusted;
}

std::uint16_t agreed_version(const Hello& local, const Hello& remote) {
  const std::uint16_t version = std::min(local.version_max, remote.version_max);
  SLUICE_ASSERT(version >= std::max(local.version_min, remote.version_min));
  return version;
}

}  // namespace sluice::transport
