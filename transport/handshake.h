// Two nodes agree to talk, or say at once which field of their greetings keeps them apart. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "base/error.h"
#include "transport/message.h"

namespace sluice::transport {

/// Why two nodes do not talk.
struct Refusal {
  Error error;
  /// First field that differs, a string literal.
  std::string_view field;
};

/// Compares what the peer said with what we are, field by field in a fixed order: version, model, layout, rope, engine,
/// profile, heartbeat, max_frame. Symmetric: both sides refuse, or none (which field is named may not depend on the
/// side). Threads: pure.
std::optional<Refusal> refuse(const Hello& local, const Hello& remote);

/// Whether the two were kept apart before the greeting, by TLS or its absence.  Threads: pure.
bool is_tls_failure(ErrorCode code);

/// The version that both speak; call after refuse() said nothing.  Threads: pure.
std::uint16_t agreed_version(const Hello& local, const Hello& remote);

}  // namespace sluice::transport
