#include "transport/ucx/ucx_worker.h"

#include <memory>

namespace sluice::transport::ucx {
namespace {

struct ConfigRelease {
  void operator()(ucp_config_t* config) const { ucp_config_release(config); }
};
using Config = std::unique_ptr<ucp_config_t, ConfigRelease>;

Result<void> modify(ucp_config_t* config, const char* name, const std::string& value) {
  if (value.empty()) return {};
  const ucs_status_t status = ucp_config_modify(config, name, value.c_str());
  if (status != UCS_OK) return from_ucx(status, "ucp_config_modify");
  return {};
}

bool has_full_names() {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  ucp_get_version(&major, &minor, &release);
  return major > 1 || minor >= 14;
}

Result<Config> make_config(const UcxOptions& options) {
  ucp_config_t* raw = nullptr;
  const ucs_status_t status = ucp_config_read(nullptr, nullptr, &raw);
  if (status != UCS_OK) return from_ucx(status, "ucp_config_read");
  Config config(raw);
  SLUICE_TRY(modify(raw, "TLS", options.transports));
  SLUICE_TRY(modify(raw, "NET_DEVICES", options.net_devices));
  SLUICE_TRY(modify(raw, "RNDV_THRESH", "inf"));
  // The 8 KiB default segments cost a factor of 2 to 5 over TCP. UCX knows a transport's own option under its full name
  // only since 1.14; before, the full name is an unused one to it.
  const std::string prefix = has_full_names() ? "TCP_" : "";
  SLUICE_TRY(modify(raw, (prefix + "TX_SEG_SIZE").c_str(), "64k"));
  SLUICE_TRY(modify(raw, (prefix + "RX_SEG_SIZE").c_str(), "256k"));
  return config;
}

}  // namespace

Error from_ucx(ucs_status_t status, const char* where) {
  ErrorCode code = ErrorCode::kTransportFailed;
  switch (status) {
    case UCS_ERR_UNREACHABLE:
      code = ErrorCode::kUnreachable;
      break;
    case UCS_ERR_CONNECTION_RESET:
    case UCS_ERR_ENDPOINT_TIMEOUT:
    case UCS_ERR_NOT_CONNECTED:
      code = ErrorCode::kPeerLost;
      break;
    case UCS_ERR_CANCELED:
      code = ErrorCode::kAborted;
      break;
    case UCS_ERR_NO_MEMORY:
      code = ErrorCode::kNoMemory;
      break;
    case UCS_ERR_UNSUPPORTED:
      code = ErrorCode::kUnsupported;
      break;
    default:
      break;
  }
  return Error{code, status, where};
}

Result<std::unique_ptr<UcxWorker>> UcxWorker::open(asio::io_context& loop, const UcxOptions& options) {
  std::unique_ptr<UcxWorker> worker(new UcxWorker(loop));
  SLUICE_TRY(worker->set_up(options));
  SLUICE_TRY(worker->read_address());
  SLUICE_TRY(worker->watch_events());
  return worker;
}

Result<void> UcxWorker::set_up(const UcxOptions& options) {
  SLUICE_ASSIGN(const Config config, make_config(options));
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  ucs_status_t status = ucp_init(&params, config.get(), &context_);
  if (status != UCS_OK) return from_ucx(status, "ucp_init");
  ucp_worker_params_t worker_params{};
  worker_params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  worker_params.thread_mode = UCS_THREAD_MODE_SINGLE;
  status = ucp_worker_create(context_, &worker_params, &worker_);
  if (status != UCS_OK) return from_ucx(status, "ucp_worker_create");
  return {};
}

Result<void> UcxWorker::read_address() {
  ucp_address_t* address = nullptr;
  std::size_t size = 0;
  const ucs_status_t status = ucp_worker_get_address(worker_, &address, &size);
  if (status != UCS_OK) return from_ucx(status, "ucp_worker_get_address");
  const auto* bytes = reinterpret_cast<const std::byte*>(address);
  address_.assign(bytes, bytes + size);
  ucp_worker_release_address(worker_, address);
  return {};
}

Result<void> UcxWorker::watch_events() {
  int descriptor = -1;
  const ucs_status_t status = ucp_worker_get_efd(worker_, &descriptor);
  if (status != UCS_OK) return from_ucx(status, "ucp_worker_get_efd");
  boost::system::error_code error;
  events_.assign(descriptor, error);
  if (error) return from_asio(error, "event descriptor of ucx");
  kick();
  return {};
}

UcxWorker::~UcxWorker() {
  *alive_ = false;
  if (events_.is_open()) events_.release();  // the descriptor is UCX's to close
  if (worker_ != nullptr) ucp_worker_destroy(worker_);
  if (context_ != nullptr) ucp_cleanup(context_);
}

void UcxWorker::stop() {
  stopped_ = true;
  safety_.cancel();
  events_.cancel();
}

void UcxWorker::kick() {
  if (kicked_ || stopped_) return;
  kicked_ = true;
  asio::post(loop_, [this, alive = alive_] {
    if (*alive && !stopped_) turn();
  });
}

void UcxWorker::turn() {
  kicked_ = false;
  int rounds = 0;
  while (rounds < kRounds && ucp_worker_progress(worker_) != 0) ++rounds;
  if (after_progress_) after_progress_();
  if (kicked_) return;  // what came made new work
  if (rounds == kRounds) {
    kick();
    return;
  }
  const ucs_status_t status = ucp_worker_arm(worker_);
  if (status == UCS_OK) {
    wait();
  } else if (status == UCS_ERR_BUSY) {
    kick();
  } else {
    // Nothing will wake us any more: look now and then. Not seen in practice; better slow than dead.
    safety_.expires_after(std::chrono::milliseconds(2));
    safety_.async_wait([this, alive = alive_](const boost::system::error_code& stopped) {
      if (!stopped && *alive) kick();
    });
  }
}

// Asio watches for edges, and the descriptor, itself an epoll set that nobody reads, may stay ready without another
// edge. Starting a wait looks at the level again, so each arming needs a wait of its own.
void UcxWorker::wait() {
  if (waiting_) events_.cancel();
  waiting_ = true;
  events_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [this, alive = alive_](const boost::system::error_code& error) {
                       if (error || !*alive || stopped_) return;
                       waiting_ = false;
                       turn();
                     });
}

}  // namespace sluice::transport::ucx
