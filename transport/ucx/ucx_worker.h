// One UCX context and worker, driven by the loop: progress until nothing happens, arm, wait for the event descriptor.
// The descriptor is never read. Whoever posts work to the worker must kick() it, since that may need progress.
#pragma once

#include <ucp/api/ucp.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "transport/asio.h"
#include "transport/ucx/ucx_fabric.h"

namespace sluice::transport::ucx {

/// Our code for a status of UCX; `native` keeps it.
/// Threads: pure.
Error from_ucx(ucs_status_t status, const char* where);

/// Threads: the loop's (UCS_THREAD_MODE_SINGLE).
class UcxWorker {
 public:
  /// Errors: kTransportFailed, kUnsupported.
  static Result<std::unique_ptr<UcxWorker>> open(asio::io_context& loop, const UcxOptions& options);
  ~UcxWorker();
  UcxWorker(const UcxWorker&) = delete;
  UcxWorker& operator=(const UcxWorker&) = delete;

  ucp_worker_h handle() const { return worker_; }
  std::span<const std::byte> address() const { return address_; }
  /// Called on the loop after each round of progress, outside of UCX.
  void set_after_progress(std::function<void()> after) { after_progress_ = std::move(after); }
  /// Progress comes soon, not inside this call.
  void kick();
  /// No more progress: the loop can run out of work. Nothing may be under way.
  void stop();

 private:
  // Rounds of progress before the loop's other work has its turn.
  static constexpr int kRounds = 64;

  explicit UcxWorker(asio::io_context& loop)
      : loop_(loop), events_(loop), safety_(loop), alive_(std::make_shared<bool>(true)) {}
  Result<void> set_up(const UcxOptions& options);
  Result<void> read_address();
  Result<void> watch_events();
  void turn();
  void wait();

  asio::io_context& loop_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  asio::posix::stream_descriptor events_;
  asio::steady_timer safety_;
  std::vector<std::byte> address_;
  std::function<void()> after_progress_;
  std::shared_ptr<bool> alive_;  // false once destroyed: queued handlers then do nothing
  bool kicked_ = false;
  bool waiting_ = false;
  bool stopped_ = false;
};

}  // namespace sluice::transport::ucx
