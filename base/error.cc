#include "base/error.h"

#include <array>

namespace sluice {
namespace {

struct Row {
  ErrorCode code;
  std::string_view name;
  std::string_view hint;
};

constexpr std::array kRows = {
    Row{ErrorCode::kOk, "ok", "nothing to do"},
    Row{ErrorCode::kInvalidArgument, "invalid_argument", "correct the argument; the message names it"},
    Row{ErrorCode::kUnsupported, "unsupported", "use a combination that this build supports: see 'sluice doctor'"},
    Row{ErrorCode::kUnknownKey, "unknown_key", "correct the key's spelling; the message names the nearest one"},
    Row{ErrorCode::kConfigInvalid, "config_invalid",
        "correct the value; 'sluice config check FILE' shows each problem"},
    Row{ErrorCode::kNotFound, "not_found", "check the name; nothing is stored under it"},
    Row{ErrorCode::kAlreadyExists, "already_exists", "choose another name, or remove the old one first"},
    Row{ErrorCode::kTruncated, "truncated", "fetch the bytes again; they end too early"},
    Row{ErrorCode::kBadMagic, "bad_magic", "check what the bytes are; they are not of this format"},
    Row{ErrorCode::kBadVersion, "bad_version", "use the same format version on both sides"},
    Row{ErrorCode::kBadLength, "bad_length", "fetch the bytes again; a length is outside its bounds"},
    Row{ErrorCode::kBadField, "bad_field", "fetch the bytes again; a field is outside its bounds"},
    Row{ErrorCode::kDigestMismatch, "digest_mismatch",
        "fetch the unit again; if it persists, check the link's hardware"},
    Row{ErrorCode::kCorruptStream, "corrupt_stream", "fetch the unit again; its entropy-coded bytes are damaged"},
    Row{ErrorCode::kTrailingBytes, "trailing_bytes", "check what the bytes are; more follows than the format allows"},
    Row{ErrorCode::kProfileMismatch, "profile_mismatch", "load the profile whose hash the stream names"},
    Row{ErrorCode::kIncompatibleVersion, "incompatible_version", "run protocol versions that overlap on both nodes"},
    Row{ErrorCode::kIncompatibleModel, "incompatible_model", "load the same model file on both nodes"},
    Row{ErrorCode::kIncompatibleLayout, "incompatible_layout", "give both engines the same KV shape and type"},
    Row{ErrorCode::kIncompatibleEngine, "incompatible_engine", "run the same engine build on both nodes"},
    Row{ErrorCode::kUnreachable, "unreachable", "start the peer, or correct its address"},
    Row{ErrorCode::kPeerLost, "peer_lost", "see the peer's log; the request was recomputed or ended"},
    Row{ErrorCode::kPeerSilent, "peer_silent", "check the network and the peer: its heartbeats stopped"},
    Row{ErrorCode::kRejected, "rejected", "try again later, or recompute; the peer is full"},
    Row{ErrorCode::kAborted, "aborted", "nothing to do: the request was cancelled"},
    Row{ErrorCode::kDeadlineMissed, "deadline_missed", "allow more time, lower the quality floor, or recompute"},
    Row{ErrorCode::kProtocolViolation, "protocol_violation", "update the peer; it sent what the protocol forbids"},
    Row{ErrorCode::kStaleLease, "stale_lease", "nothing to do: a late write was refused"},
    Row{ErrorCode::kDraining, "draining", "use another node; this one is shutting down"},
    Row{ErrorCode::kCircuitOpen, "circuit_open",
        "nothing to do: the peer failed again and again, and is tried later; see 'sluice links'"},
    Row{ErrorCode::kNoMemory, "no_memory", "raise the memory limit or lower the configured pools"},
    Row{ErrorCode::kNoSlot, "no_slot", "raise memory.ring_bytes, or send less at once"},
    Row{ErrorCode::kQueueFull, "queue_full", "send less at once; the queue is bounded"},
    Row{ErrorCode::kIo, "io", "see the native error number; check the file or the socket"},
    Row{ErrorCode::kDiskFull, "disk_full", "free space on the disk, or choose another folder"},
    Row{ErrorCode::kTransportFailed, "transport_failed", "see 'sluice doctor' for what this transport needs"},
    Row{ErrorCode::kEngineFailed, "engine_failed", "see the engine's own message; the request can be recomputed"},
    Row{ErrorCode::kModelMissing, "model_missing", "fetch the model first: './dev setup'"},
    Row{ErrorCode::kPromptTooLong, "prompt_too_long", "shorten the prompt; it exceeds the model's context"},
    Row{ErrorCode::kTlsMismatch, "tls_mismatch",
        "set tls.certificate, tls.key and tls.ca on both nodes, or on neither"},
    Row{ErrorCode::kCertificateMissing, "certificate_missing",
        "give the connecting side a certificate: tls.certificate and tls.key"},
    Row{ErrorCode::kCertificateExpired, "certificate_expired",
        "renew the certificate or correct the clock; 'sluice doctor' shows the dates"},
    Row{ErrorCode::kCertificateUntrusted, "certificate_untrusted",
        "use certificates that are signed by an authority in the other node's tls.ca"},
    Row{ErrorCode::kNameNotProven, "name_not_proven",
        "use a certificate that carries node.name, and name it in the peer's tls.allowed_names if that is set"},
};

const Row* find_row(ErrorCode code) {
  for (const Row& row : kRows) {
    if (row.code == code) return &row;
  }
  return nullptr;
}

}  // namespace

std::string_view error_name(ErrorCode code) {
  const Row* row = find_row(code);
  return row != nullptr ? row->name : "unknown";
}

std::string_view error_hint(ErrorCode code) {
  const Row* row = find_row(code);
  return row != nullptr ? row->hint : "update sluice: this error code is newer than this program";
}

}  // namespace sluice
