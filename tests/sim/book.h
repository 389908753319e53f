// What one simulated node knows of its requests, and the laws that it holds the transport to:
//   each request has one terminal call per side, by its deadline and two heartbeats, and nothing is told after it;
//   a part is delivered once, was granted, and is byte for byte what belongs there, as long as it is held;
//   a session is told up and down once each, and its requests ended before.
// Place in the flow: SimNode tells it every call; a broken law throws Broken, which ends the seed.
#pragma once

#include <fmt/format.h>

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "transport/session.h"
#include "transport/sim/world.h"

namespace sluice::transport::simtest {

/// A law does not hold.
class Broken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The bytes of a part: a function of where it belongs.
inline std::byte part_byte(UnitKey unit, Part part, std::size_t at) {
  const std::uint64_t place = unit.request.value() * 1000003U + unit.chunk.value() * 8191U + unit.group.value() * 131U +
                              static_cast<std::uint64_t>(part) * 7U + at;
  return static_cast<std::byte>((place * 0x9E3779B97F4A7C15U) >> 56U);
}

/// A request at the side that wants KV.
struct Wanted {
  Session* session = nullptr;
  Instant deadline;
  Units units;  ///< once accepted
  bool sealed = false;
  bool ended = false;
  std::set<std::pair<UnitKey, Part>> granted;
  std::set<std::pair<UnitKey, Part>> arrived;
};

/// A request at the side that holds KV.
struct Held {
  Instant deadline;
  bool accepted = false;
};

/// Threads: one.
struct Book {
  std::map<RequestId, Wanted> wanted;
  /// Those that have not ended.
  std::map<std::pair<Session*, RequestId>, Held> held;
  std::map<Session*, std::uint64_t> up;  ///< -> how many had come up: an address may be used again
  std::uint64_t ups = 0;
  std::uint64_t downs = 0;
  std::uint64_t delivered = 0;
  std::uint64_t completed = 0;

  Wanted& running(Session& session, RequestId request, const char* call) {
    const auto at = wanted.find(request);
    if (at == wanted.end() || at->second.session != &session) broken("{} of a request that is not its", call, request);
    if (at->second.ended) broken("{} after the end of request", call, request);
    if (!up.contains(&session)) broken("{} on a session that is down, request", call, request);
    return at->second;
  }
  Held& serving(Session& session, RequestId request, const char* call) {
    const auto at = held.find({&session, request});
    if (at == held.end()) broken("{} of a request that was not opened or has ended,", call, request);
    return at->second;
  }
  /// Both sides' requests of a session that goes down.
  void check_down(Session& session) {
    for (const auto& [request, own] : wanted) {
      if (own.session == &session && !own.ended) broken("{} left open by its session", "on_down", request);
    }
    for (const auto& [key, own] : held) {
      if (key.first == &session) broken("{} left a served request open,", "on_down", key.second);
    }
    if (up.erase(&session) != 1) broken("{} without on_up, request", "on_down", RequestId());
  }

  [[noreturn]] static void broken(const char* format, const char* call, RequestId request) {
    throw Broken(fmt::format(fmt::runtime(format), call) + fmt::format(" {}", request.value()));
  }
};

}  // namespace sluice::transport::simtest
