// A Session is one connected, greeted peer: requests that we opened there (we receive KV) and requests that it opened
// here (we send KV), multiplexed over one control connection and, where both sides have one, a data fabric. A Session
// moves bytes and keeps promises; what to grant and what bytes mean is the SessionHandler's.
//
// Invariants: a peer changes only bytes of a slot leased to it now; each request has exactly one terminal call per
// side, by its deadline + 1 heartbeat; a dead peer touches only its own session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "transport/message.h"
#include "transport/slot_hold.h"

namespace sluice::transport {

/// How a peer is reached, for `doctor`, metrics and SessionUp.
struct PathInfo {
  std::string_view control;  ///< "tcp"
  std::string_view data;     ///< "tcp", "ucx" or "shm"
  std::string_view reason;   ///< why `data`, a string literal
};

/// What the receiver has seen of the link so far. Zero until measured.
struct LinkSample {
  BitsPerSecond rate;     ///< of the last busy period
  BitsPerSecond maximum;  ///< largest of all
  Duration rtt{0};        ///< last ping
  Duration rtt_min{0};
  Bytes received;  ///< DATA payload in all
};

/// What on_grant must answer: the right to send one part into one slot of the peer, once.
struct GrantToken {
  UnitKey unit;
  Part part = Part::kBase;
  SlotIndex slot;
  Generation generation;
  Bytes max_length;
  Instant deadline;
};

/// Keeps the memory of a payload alive until the fabric has let go of it.
using Keepalive = std::shared_ptr<const void>;

class Session;

/// What a node does with its peers. All calls come on the loop thread; none may block.
class SessionHandler {
 public:
  virtual ~SessionHandler() = default;

  virtual void on_up(Session& session, const Hello& remote) = 0;
  /// The last call about this session; every request on it has had its terminal call before. The Session dies after
  /// it returns.
  virtual void on_down(Session& session, Error error) = 0;

  // We hold KV.
  /// Answer with accept() or reject(), now or later (before the request's deadline).
  virtual void on_open(Session& session, const OpenRequest& request) = 0;
  /// Answer with send_part(), now or later; or fail() the request.
  virtual void on_grant(Session& session, const GrantToken& token) = 0;
  /// Terminal: the peer has all it wants.
  virtual void on_peer_done(Session& session, RequestId request) = 0;
  /// Terminal: the peer gave up, its deadline passed, or it is lost.
  virtual void on_peer_aborted(Session& session, RequestId request, Error error) = 0;

  // We want KV.
  virtual void on_announce(Session& session, const Announce& announce) = 0;
  virtual void on_accept(Session& session, RequestId request, const OpenAck& shape) = 0;
  virtual void on_offer(Session& session, const Offer& offer) = 0;
  /// `payload` is verified, and stays valid and constant until `hold` dies (on any thread).
  virtual void on_part(Session& session, UnitKey unit, Part part, SlotHold hold) = 0;
  virtual void on_sealed(Session& session, RequestId request, Units units) = 0;
  /// Terminal unless we called finish() or abort(): rejected, failed by the peer, deadline, peer lost, corrupt.
  virtual void on_request_failed(Session& session, RequestId request, Error error) = 0;
  /// After a grant() was refused with kNoSlot or kQueueFull: room has come, try again.
  virtual void on_slots_free(Session& session) = 0;
  /// The peer will take no new requests.
  virtual void on_goaway(Session& session) = 0;
};

/// One peer. Threads: the loop's, all of it. Owned by its Endpoint; dead after on_down.
class Session {
 public:
  virtual ~Session() = default;

  virtual PeerId peer() const = 0;
  virtual const Hello& remote() const = 0;
  virtual PathInfo path() const = 0;
  virtual LinkSample link() const = 0;

  // We want KV.
  /// Errors: kAlreadyExists, kInvalidArgument (no time left, too many tokens), kQueueFull, kDraining, kPeerLost.
  virtual Result<void> open(const OpenRequest& request) = 0;
  /// Leases a slot of `size` and asks for the part. `size` must be what was offered: the peer may not send more.
  /// Errors: kNoSlot (wait for on_slots_free), kNotFound (no such running request, or unit outside it),
  /// kAlreadyExists (granted and not yet arrived), kBadLength (larger than the peer or the ring can).
  virtual Result<void> grant(UnitKey unit, Part part, Bytes size) = 0;
  /// Terminal with success; idempotent, and a no-op for an ended request.
  virtual void finish(RequestId request) = 0;
  /// Terminal; tells the peer why; idempotent.
  virtual void abort(RequestId request, ErrorCode why) = 0;

  // We hold KV. Errors of all: kNotFound when the request has ended or never was.
  virtual Result<void> accept(RequestId request, const OpenAck& shape) = 0;
  virtual Result<void> reject(RequestId request, ErrorCode why, Duration retry_after) = 0;
  virtual Result<void> offer(const Offer& offer) = 0;
  /// `payload` must not change until `keepalive` is dropped. Errors: also kStaleLease, kBadLength (more than granted).
  virtual Result<void> send_part(const GrantToken& token, std::span<const std::byte> payload, Keepalive keepalive) = 0;
  virtual Result<void> seal(RequestId request, Units units) = 0;
  /// Terminal at both sides; on_peer_aborted is not called for it.
  virtual Result<void> fail(RequestId request, ErrorCode why) = 0;
  virtual Result<void> announce(const Announce& announce) = 0;

  /// Ends the session: on_down follows from the loop, with `error`.
  virtual void close(Error error) = 0;
};

}  // namespace sluice::transport
