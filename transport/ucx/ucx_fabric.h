// DATA frames as UCX active messages, for nodes of one trust domain. The worker addresses travel in the greeting over
// the control connection; nobody listens. The receiver places a message in a slot only after its lease has been
// checked: no memory is exposed to remote writes. The worker sleeps on its event descriptor; nothing spins.
#pragma once

#include <memory>
#include <string>

#include "base/quantity.h"
#include "base/result.h"
#include "transport/asio.h"
#include "transport/fabric.h"

namespace sluice::transport::ucx {

struct UcxOptions {
  /// UCX_TLS; empty = UCX's own choice.
  std::string transports;
  /// UCX_NET_DEVICES; empty = all. Name one: several TCP devices get striped otherwise.
  std::string net_devices;
  /// true: a dead peer is seen by UCX, at the price of its fastest shared-memory ways.
  bool peer_error_handling = true;
  /// Payloads at least this large are fetched by the receiver into its slot (rendezvous); smaller are copied once more.
  Bytes rendezvous_threshold{64U << 10U};
  Bytes queue_bytes{512U << 20U};
};

/// Errors: kTransportFailed (native = ucs_status_t), kUnsupported (no transport can wake us).
/// Threads: the loop's. The fabric must outlive its channels; async_close() before destruction.
Result<std::unique_ptr<DataFabric>> open_ucx_fabric(asio::io_context& loop, const UcxOptions& options);

}  // namespace sluice::transport::ucx
