// What one simulated node knows of its requests, and the laws that it holds the transport to:
//   each request has one terminal call per side, by its deadline (2 heartbeats more at the sender), and nothing is told
//   after it; a part is delivered once, was granted, and is byte for byte what belongs there, as long as it is held;
//   a session is told up and down once each, and its requests ended before;
//   slots: leased once at a time, with a growing generation, free at once when their request ends, never while they are
//   held or being filled, and all that is leased or held fits the ring;
//   events agree with calls: a request is opened and ended once, with the code that was told.
// Place in the flow: SimNode tells it every call; a broken law throws Broken, which ends the seed.
#pragma once

#include <fmt/format.h>

#include <map>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/event_sink.h"
#include "transport/session.h"
#include "transport/sim/world.h"

namespace sluice::transport::simtest {

/// A law does not hold.
class Broken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename... Args>
[[noreturn]] void broken(fmt::format_string<Args...> format, Args&&... args) {
  throw Broken(fmt::format(format, std::forward<Args>(args)...));
}

/// `call` gave the error that it must, or its session is at its end.
void expect(ErrorCode wanted, const Result<void>& outcome, const char* call, RequestId request);

/// The bytes of a part: a function of where it belongs.
std::vector<std::byte> part_bytes(UnitKey unit, Part part, std::size_t size);

using PartKey = std::pair<UnitKey, Part>;

/// A request at the side that wants KV.
struct Wanted {
  Session* session = nullptr;
  Instant deadline;
  Units units;  ///< once accepted
  bool sealed = false;
  bool ended = false;
  Instant ended_at;
  bool is_finished = false;  ///< with success
  bool failed_here = false;  ///< our deadline passed, or a part came bad too often: the peer must hear of it
  std::map<PartKey, Bytes> offered;
  std::set<PartKey> granted;
  std::set<PartKey> arrived;
};

/// A request at the side that holds KV.
struct Held {
  Instant deadline;
  bool accepted = false;
};

/// How often the handler was told what of one request, ended or not.
struct Calls {
  std::uint32_t opens = 0;
  std::uint32_t grants = 0;
  std::uint32_t ends = 0;  ///< of the served request, by the peer
  std::uint32_t accepts = 0;
  std::uint32_t offers = 0;
  std::uint32_t parts = 0;
  std::uint32_t seals = 0;
  ErrorCode failed = ErrorCode::kOk;   ///< as on_request_failed told it
  ErrorCode aborted = ErrorCode::kOk;  ///< as on_peer_aborted told it
  bool operator==(const Calls&) const = default;
};

/// A slot of the ring between the grant and its return.
struct SlotUse {
  enum class State : std::uint8_t { kLeased, kFilling, kWritten, kHeld };
  Generation generation;
  PartKey part;
  State state = State::kLeased;
  std::span<const std::byte> bytes;  ///< while it is being filled or held
};

/// Threads: one.
class Book final : public EventSink {
 public:
  std::map<RequestId, Wanted> wanted;
  /// Those that have not ended.
  std::map<std::pair<Session*, RequestId>, Held> held;
  std::map<Session*, std::uint64_t> up;  ///< -> how many had come up: an address may be used again
  std::map<RequestId, Calls> calls;
  std::map<SlotIndex, SlotUse> slots;
  std::set<RequestId> rejected_here;
  std::set<RequestId> failed_here;
  std::set<Session*> goaways;  ///< said so and are up
  std::uint64_t ups = 0;
  std::uint64_t downs = 0;
  std::uint64_t delivered = 0;
  std::uint64_t completed = 0;
  std::uint64_t goaway_calls = 0;
  std::uint64_t announce_calls = 0;
  Announce announced;     ///< as told last
  GrantToken last_grant;  ///< as told last
  bool is_draining = false;
  std::string_view refused;  ///< the field that the last greeting was refused for

  /// Of the calls.
  Wanted& running(Session& session, RequestId request, const char* call);
  Held& serving(Session& session, RequestId request, const char* call);
  bool is_serving(RequestId request) const { return deadline_of(request) != Instant::never(); }
  /// Of a served request; never() when it is not served.
  Instant deadline_of(RequestId request) const;
  /// Both sides' requests of a session that goes down.
  void check_down(Session& session);
  /// Nothing of an ended request is leased; what is being filled is on its way out.
  void check_leases_ended(RequestId request) const;

  /// Every request that was reported as opened was reported as ended.
  void check_reported() const;
  /// How a request of ours was reported to have ended.
  ErrorCode reported(RequestId request) const;

  /// Of the memory: a part goes to `place`, which `slot` was leased for.
  void fill(SlotIndex slot, std::span<const std::byte> place);
  void stop_filling(SlotIndex slot, Generation generation);
  void hold(UnitKey unit, Part part, std::span<const std::byte> bytes);
  void let_go(std::span<const std::byte> bytes);

  void emit(const Event& event, Instant now) override;

 private:
  void on(const RequestOpened& event);
  void on(const RequestEnded& event);
  void on(const UnitGranted& event);
  void on(const SlotReleased& event);
  template <typename Other>
  void on(const Other&) {}
  void check_apart(std::span<const std::byte> place, SlotIndex own) const;

  std::set<std::pair<RequestId, Side>> opened_;
  std::map<RequestId, ErrorCode> reported_;
  std::map<SlotIndex, Generation> newest_;
};

}  // namespace sluice::transport::simtest
