// DATA frames as UCX active messages, for nodes of one trust domain. The worker addresses travel in the greeting over
// the control connection; nobody listens. The receiver places a message in a slot only after its lease has been
// checked: no memory is exposed to remote writes. The worker sleeps on its event descriptor; nothing spins.
// Messages are eager only: a rendezvous would let the fabric write into a slot after its lease has ended.
#pragma once

#include <memory>
#include <string>

#include "base/quantity.h"
#include "base/result.h"
#include "transport/asio.h"
#include "transport/fabric.h"
#include "transport/send_queue.h"

namespace sluice::transport::ucx {

/// How UCX is set up. Empty strings leave the choice to UCX and the user's environment.
struct UcxOptions {
  /// UCX_TLS; empty = UCX's own choice.
  std::string transports;
  /// UCX_NET_DEVICES; empty = all. Name one: several TCP devices get striped otherwise.
  std::string net_devices;
  /// true: a dead peer is seen by UCX, at the price of its fastest shared-memory ways.
  bool peer_error_handling = true;
  /// Per channel.
  SendLimits queue;
  /// What is handed to UCX at once per channel; the rest waits with us, where it can be dropped.
  Bytes in_flight{4U << 20U};
};

/// Errors: kTransportFailed (native = ucs_status_t), kUnsupported (no transport can wake us).
/// Threads: the loop's. The fabric must outlive its channels; async_close() before destruction.
Result<std::unique_ptr<DataFabric>> open_ucx_fabric(asio::io_context& loop, const UcxOptions& options);

}  // namespace sluice::transport::ucx
