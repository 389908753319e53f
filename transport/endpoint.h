// An Endpoint is a node's place in the network: it listens, connects, greets, and owns the staging ring and all
// sessions. The composition root gives it a loop, fabrics, a clock and a sink for events, and drives the loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/event_sink.h"
#include "base/quantity.h"
#include "base/result.h"
#include "transport/fabric.h"
#include "transport/loop.h"
#include "transport/message.h"
#include "transport/session.h"

namespace sluice::transport {

/// What an Endpoint stands on. All must outlive it.
struct EndpointParts {
  Loop& loop;
  StreamFabric& stream;
  /// nullptr = DATA goes over the stream.
  DataFabric* data = nullptr;
  const Clock& clock;
  EventSink& events;
  SessionHandler& handler;
};

/// Limits and times of an Endpoint; the defaults fit a loopback pair and a 10 Gbit/s link alike.
struct EndpointOptions {
  /// "host:port"; empty = do not listen. Port 0 = any, see listen_address().
  std::string listen;
  Bytes ring{64U << 20U};
  /// Slots of the ring: how many parts can be on their way or being decoded at once.
  std::uint32_t slots = 1024;
  Duration heartbeat = std::chrono::milliseconds(100);
  /// Heartbeats without a byte from the peer until it counts as dead.
  std::uint32_t misses = 5;
  Duration handshake_timeout = std::chrono::seconds(2);
  std::uint32_t max_sessions = 256;
  std::uint32_t max_requests_per_session = 1024;
  /// Grants of one part after a bad digest before the request fails.
  std::uint32_t part_retries = 3;
};

/// Threads: the loop's. async_close() before destruction; the loop must then run until its callback.
class Endpoint {
 public:
  /// Starts to listen when asked to. Errors: those of StreamFabric::listen; kNoMemory; kInvalidArgument.
  static Result<std::unique_ptr<Endpoint>> open(const EndpointParts& parts, const EndpointOptions& options,
                                                const NodeIdentity& identity);
  virtual ~Endpoint() = default;

  /// "host:port" in fact bound; empty when not listening.
  virtual const std::string& listen_address() const = 0;
  /// Connects and greets once. `done` is called once; on success after SessionHandler::on_up.
  virtual void connect(const std::string& address, std::function<void(Result<Session*>)> done) = 0;
  /// Tells peers that no new requests are taken; rejects theirs with kDraining. Running ones go on, and the owner may
  /// still open what it had promised to somebody before.
  virtual void drain() = 0;
  /// Requests running in either direction, over all sessions.
  virtual std::size_t running_requests() const = 0;
  /// Bytes of the ring that are leased or held.
  virtual Bytes ring_used() const = 0;
  /// Closes all sessions (kDraining), then calls `done` from the loop. Held slots stay readable.
  virtual void async_close(std::function<void()> done) = 0;
};

}  // namespace sluice::transport
