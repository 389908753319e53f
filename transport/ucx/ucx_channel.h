// One UCX endpoint as a Channel for DATA frames. An active message's header is the receiver's 8-byte key and the frame
// header; the key says which session it is for. UCX's callbacks only note what happened; the sink is called after
// progress has returned.
#pragma once

#include <ucp/api/ucp.h>

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "transport/asio.h"
#include "transport/fabric.h"
#include "transport/send_queue.h"
#include "transport/ucx/ucx_worker.h"

namespace sluice::transport::ucx {

inline constexpr std::size_t kKeySize = 8;
inline constexpr unsigned kDataMessage = 1;
using MessageHeader = std::array<std::byte, kKeySize + kFrameHeaderSize>;

/// Threads: the loop's. The fabric keeps it until it has ended.
class UcxPeer : public std::enable_shared_from_this<UcxPeer> {
 public:
  UcxPeer(asio::io_context& loop, UcxWorker& worker, const UcxOptions& options)
      : loop_(loop), worker_(worker), options_(options), guard_(loop), queue_(options.queue) {}

  Result<void> connect(const DataFabric::Peering& peering);
  /// `ended` is called last of all.
  void set_on_ended(std::function<void()> ended) { ended_ = std::move(ended); }

  // Channel.
  void start(FrameSink& sink) { sink_ = &sink; }
  Result<void> send(OutgoingFrame frame);
  void drop(RequestId request);
  Bytes queued() const { return queue_.bytes(); }
  void close(Error error);
  /// The Channel is destroyed; one that was never started closes silently.
  void abandon();

  /// From the active message callback, inside progress: copies into the slot that the sink names.
  void arrived(std::span<const std::byte> frame_header, std::span<const std::byte> payload);
  void fail_later(Error error) {
    if (failure_.code == ErrorCode::kOk) failure_ = error;
  }
  /// Outside of progress: tells the sink what came and sends what may go.
  void settle();

 private:
  struct Sending {
    std::shared_ptr<UcxPeer> peer;
    OutgoingFrame frame;
    MessageHeader header{};
    Result<void> outcome;
  };
  struct Arrived {
    FrameHeader header;
    std::span<const std::byte> payload;
  };
  static constexpr Duration kCloseTime = std::chrono::seconds(1);

  static void sent(void* request, ucs_status_t status, void* user_data);
  static void endpoint_closed(void* request, ucs_status_t status, void* user_data);
  static void endpoint_failed(void* user_data, ucp_ep_h endpoint, ucs_status_t status);
  void post_sends();
  void post_send(OutgoingFrame frame);
  void close_endpoint();
  void finish_if_idle();

  asio::io_context& loop_;
  UcxWorker& worker_;
  UcxOptions options_;
  asio::steady_timer guard_;
  ucp_ep_h endpoint_ = nullptr;
  std::uint64_t remote_key_ = 0;
  FrameSink* sink_ = nullptr;
  std::function<void()> ended_;
  SendQueue queue_;
  std::vector<std::unique_ptr<Sending>> done_;
  std::vector<Arrived> arrived_;
  Bytes in_flight_;
  std::size_t sending_ = 0;
  bool closing_ = false;
  bool endpoint_is_closed_ = false;
  bool gave_up_ = false;
  bool finished_ = false;
  Error failure_;
  Error error_;
};

}  // namespace sluice::transport::ucx
