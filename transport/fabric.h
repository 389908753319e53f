// The seam between sessions and what carries their frames. A StreamFabric (tcp) makes ordered two-way channels and
// carries everything; a DataFabric (ucx) carries DATA frames only, to peers greeted over a stream. Payloads are read
// straight to where FrameSink::place says, after it has checked the header: a fabric owns no landing memory of its own
// for DATA. Everything runs on the loop thread; send() never blocks; completions and sink calls never run inside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "transport/frame.h"

namespace sluice::transport {

/// One frame to send. Either `owned` holds the payload, or `payload` views memory that `keepalive` holds.
struct OutgoingFrame {
  FrameHeader header;
  std::vector<std::byte> owned;
  std::span<const std::byte> payload;
  std::shared_ptr<const void> keepalive;
  /// DATA only: called once, from the loop, when the fabric needs the payload no more. May be empty.
  std::function<void(Result<void>)> on_sent;
};

/// Receives from one channel. Implemented by the session.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  /// Where the payload of this frame goes. An empty span = read and drop it. An Error closes the channel with it.
  /// The memory stays valid until on_frame or on_dropped for the same header, whatever happens to the channel.
  virtual Result<std::span<std::byte>> place(const FrameHeader& header) = 0;
  /// The payload is where place() said.
  virtual void on_frame(const FrameHeader& header, std::span<const std::byte> payload) = 0;
  /// place() gave memory but the payload will never be whole; the fabric writes there no more.
  virtual void on_dropped(const FrameHeader& header) = 0;
  /// Some bytes of a frame came: the peer is alive.
  virtual void on_progress(Bytes size) = 0;
  /// Once, the last call.
  virtual void on_closed(Error error) = 0;
};

/// One way to one peer. Destroyed only after on_closed, or before start().
class Channel {
 public:
  virtual ~Channel() = default;
  /// Begins to receive. `sink` must live until its on_closed.
  virtual void start(FrameSink& sink) = 0;
  /// Control frames overtake DATA frames that have not begun. Errors: kQueueFull (nothing was taken), kPeerLost.
  virtual Result<void> send(OutgoingFrame frame) = 0;
  /// DATA frames of an ended request that have not begun are forgotten; their on_sent gets kAborted, from the loop.
  virtual void drop(RequestId request) = 0;
  /// Bytes accepted by send() and not yet handed to the system.
  virtual Bytes queued() const = 0;
  /// Control frames already queued still get a short chance to leave. on_closed(error) follows from the loop, after
  /// every on_sent and on_dropped. Idempotent.
  virtual void close(Error error) = 0;
  /// Whether the node at the other end may call itself so. A fabric that does not authenticate cannot say no.
  virtual bool vouches_for(std::string_view) const { return true; }
};

using ChannelDone = std::function<void(Result<std::unique_ptr<Channel>>)>;

/// Makes connections: "host:port".
class StreamFabric {
 public:
  virtual ~StreamFabric() = default;
  virtual std::string_view name() const = 0;
  /// Returns the address in fact bound (port 0 = any). `accepted` is called for every connection.
  /// Errors: kInvalidArgument (no such address), kUnreachable, kIo.
  virtual Result<std::string> listen(const std::string& address, ChannelDone accepted) = 0;
  virtual void connect(const std::string& address, ChannelDone done) = 0;
  /// Listens no more and gives up connecting. Channels live on.
  virtual void close() = 0;
};

/// Which side of a session attaches first: the listening one, before it answers the greeting. Where it cannot, it says
/// so in its answer, and neither side uses the data fabric.
enum class AttachTurn : std::uint8_t { kFirst, kSecond };

/// Carries DATA between nodes that have greeted each other.
class DataFabric {
 public:
  virtual ~DataFabric() = default;
  virtual std::string_view name() const = 0;
  /// Its bit in a Hello: both sides must have the same.
  virtual std::uint64_t capability() const = 0;
  /// How a peer reaches us; goes into our Hello.
  virtual std::span<const std::byte> local_address() const = 0;
  /// A channel to the node of `address`. `local_key` marks frames that come for it, `remote_key` those that go.
  /// Errors: any; their `where` says to a person why the peer is not reached. The session then goes on without.
  struct Peering {
    std::span<const std::byte> address;
    std::uint64_t local_key = 0;
    std::uint64_t remote_key = 0;
    AttachTurn turn = AttachTurn::kFirst;
  };
  virtual Result<std::unique_ptr<Channel>> attach(const Peering& peering) = 0;
  /// `done` is called when nothing of the fabric runs any more. Channels must be closed before.
  virtual void async_close(std::function<void()> done) = 0;
};

}  // namespace sluice::transport
