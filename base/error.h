// Operating errors: what the world may do to us (a peer gone, a bad frame, no buffer). Every error has a code that is
// pinned for ever: metrics, logs, the C ABI, exit codes and docs/errors.md all speak of the same numbers.
// Invariant: an Error is at most 24 bytes, never allocates, and outputs of the failing call are untouched.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

/// Pinned: a number, once released, keeps its meaning. The hundreds name the area.
enum class ErrorCode : std::uint16_t {
  kOk = 0,
  // 1xx: what a caller asked for
  kInvalidArgument = 100,
  kUnsupported = 101,
  kUnknownKey = 102,
  kConfigInvalid = 103,
  kNotFound = 104,
  kAlreadyExists = 105,
  // 2xx: bytes that came from elsewhere
  kTruncated = 200,
  kBadMagic = 201,
  kBadVersion = 202,
  kBadLength = 203,
  kBadField = 204,
  kDigestMismatch = 205,
  kCorruptStream = 206,
  kTrailingBytes = 207,
  kProfileMismatch = 208,
  // 3xx: compatibility, found in the handshake
  kIncompatibleVersion = 300,
  kIncompatibleModel = 301,
  kIncompatibleLayout = 302,
  kIncompatibleEngine = 303,
  // 4xx: peers and links
  kUnreachable = 400,
  kPeerLost = 401,
  kPeerSilent = 402,
  kRejected = 403,
  kAborted = 404,
  kDeadlineMissed = 405,
  kProtocolViolation = 406,
  kStaleLease = 407,
  kDraining = 408,
  kCircuitOpen = 409,
  // 5xx: our own resources
  kNoMemory = 500,
  kNoSlot = 501,
  kQueueFull = 502,
  kIo = 503,
  kDiskFull = 504,
  kTransportFailed = 505,
  // 6xx: engines
  kEngineFailed = 600,
  kModelMissing = 601,
  kPromptTooLong = 602,
  // 7xx: who a peer is
  kTlsMismatch = 700,
  kCertificateMissing = 701,
  kCertificateExpired = 702,
  kCertificateUntrusted = 703,
  kNameNotProven = 704,
};

/// The stable name of a code, for instance "digest_mismatch"; "unknown" for a number that has none.
/// Threads: pure.
std::string_view error_name(ErrorCode code);

/// What a user should do about it, in one line; never empty.
/// Threads: pure.
std::string_view error_hint(ErrorCode code);

/// One operating error as a value.
struct Error {
  ErrorCode code = ErrorCode::kOk;
  /// errno, ucs_status_t, cudaError_t ... as the library below gave it; 0 where there was none.
  std::int32_t native = 0;
  /// Where it was decided, a string literal in lower case, for instance "frame header".
  const char* where = "";
};
static_assert(sizeof(Error) <= 24);

inline bool operator==(const Error& left, const Error& right) {
  return left.code == right.code && left.native == right.native;
}

}  // namespace sluice
