// DATA frames through memory that two processes of one host share (PROTOCOL.md section 8). Our address is the name of a
// unix socket. The side that greets second makes a memory with a ring each way and sends it; the other finds it there.
// The peer never writes where payloads are judged or kept. Nothing polls: an idle link costs nothing.
#pragma once

#include <memory>

#include "base/quantity.h"
#include "base/result.h"
#include "transport/asio.h"
#include "transport/fabric.h"
#include "transport/send_queue.h"

namespace sluice::transport::shm {

/// How memory is shared, and with whom.
struct ShmOptions {
  /// Of each direction of each link; a power of two. Small enough to stay in a cache both sides share.
  Bytes ring{2U << 20U};
  /// false: only with processes of our own user.
  bool any_user = false;
  /// How long a link that ran dry looks again before it sleeps. Only where a core is free for it; it blocks the loop.
  Duration spin{0};
  /// Per channel.
  SendLimits queue;
};

/// Rings that a peer may offer.
inline constexpr Bytes kLeastRing{64U << 10U};
inline constexpr Bytes kMostRing{64U << 20U};

/// Errors: kInvalidArgument (ring), kIo (no unix sockets here).
/// Threads: the loop's. The fabric must outlive its channels; async_close() before destruction.
Result<std::unique_ptr<DataFabric>> open_shm_fabric(asio::io_context& loop, const ShmOptions& options);

}  // namespace sluice::transport::shm
