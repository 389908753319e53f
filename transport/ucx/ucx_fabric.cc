#include "transport/ucx/ucx_fabric.h"

#include <map>

#include "transport/shared_channel.h"
#include "transport/ucx/ucx_channel.h"
#include "transport/ucx/ucx_worker.h"

namespace sluice::transport::ucx {
namespace {

class UcxFabric final : public DataFabric {
 public:
  UcxFabric(asio::io_context& loop, std::unique_ptr<UcxWorker> worker, const UcxOptions& options)
      : loop_(loop), worker_(std::move(worker)), options_(options) {
    worker_->set_after_progress([this] { settle(); });
  }
  ~UcxFabric() override { SLUICE_ASSERT(peers_.empty()); }

  Result<void> receive() {
    ucp_am_handler_param_t param{};
    param.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
                       UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
    param.id = kDataMessage;
    param.flags = UCP_AM_FLAG_WHOLE_MSG;
    param.cb = &UcxFabric::message;
    param.arg = this;
    const ucs_status_t status = ucp_worker_set_am_recv_handler(worker_->handle(), &param);
    if (status != UCS_OK) return from_ucx(status, "ucp_worker_set_am_recv_handler");
    return {};
  }

  std::string_view name() const override { return "ucx"; }
  std::uint64_t capability() const override { return kCapabilityUcx; }
  std::span<const std::byte> local_address() const override { return worker_->address(); }

  Result<std::unique_ptr<Channel>> attach(const Peering& peering) override {
    if (peers_.contains(peering.local_key)) return Error{ErrorCode::kAlreadyExists, 0, "ucx key"};
    auto peer = std::make_shared<UcxPeer>(loop_, *worker_, options_);
    SLUICE_TRY(peer->connect(peering));
    peer->set_on_ended([this, key = peering.local_key] {
      asio::post(loop_, [this, key] {
        peers_.erase(key);
        report_closed();
      });
    });
    peers_.emplace(peering.local_key, peer);
    return std::unique_ptr<Channel>(std::make_unique<SharedChannel<UcxPeer>>(std::move(peer)));
  }

  void async_close(std::function<void()> done) override {
    closed_ = std::move(done);
    report_closed();
  }

 private:
  void report_closed() {
    if (!closed_ || !peers_.empty()) return;
    worker_->stop();
    std::function<void()> done;
    done.swap(closed_);
    asio::post(loop_, std::move(done));
  }

  void settle() {
    std::vector<std::shared_ptr<UcxPeer>> peers;
    peers.reserve(peers_.size());
    for (const auto& [key, peer] : peers_) peers.push_back(peer);
    for (const auto& peer : peers) peer->settle();
  }

  // NOLINTNEXTLINE(readability-function-size): the signature is UCX's
  static ucs_status_t message(void* arg, const void* header, std::size_t header_length, void* data, std::size_t length,
                              const ucp_am_recv_param_t* param) {
    auto* fabric = static_cast<UcxFabric*>(arg);
    const std::span<const std::byte> bytes(static_cast<const std::byte*>(header), header_length);
    if (bytes.size() < kKeySize) return UCS_OK;
    std::uint64_t key = 0;
    for (std::size_t at = 0; at < kKeySize; ++at) key |= std::to_integer<std::uint64_t>(bytes[at]) << (8 * at);
    const auto peer = fabric->peers_.find(key);
    if (peer == fabric->peers_.end()) return UCS_OK;  // late, for a session that has ended
    if ((param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0) {
      peer->second->fail_later(Error{ErrorCode::kUnsupported, 0, "rendezvous from a ucx peer"});
      return UCS_OK;
    }
    peer->second->arrived(bytes.subspan(kKeySize), {static_cast<const std::byte*>(data), length});
    return UCS_OK;
  }

  asio::io_context& loop_;
  std::unique_ptr<UcxWorker> worker_;
  UcxOptions options_;
  std::map<std::uint64_t, std::shared_ptr<UcxPeer>> peers_;
  std::function<void()> closed_;
};

}  // namespace

Result<std::unique_ptr<DataFabric>> open_ucx_fabric(asio::io_context& loop, const UcxOptions& options) {
  SLUICE_ASSIGN(auto worker, UcxWorker::open(loop, options));
  auto fabric = std::make_unique<UcxFabric>(loop, std::move(worker), options);
  SLUICE_TRY(fabric->receive());
  return std::unique_ptr<DataFabric>(std::move(fabric));
}

}  // namespace sluice::transport::ucx
