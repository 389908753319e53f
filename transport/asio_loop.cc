#include "transport/asio_loop.h"

#include <utility>

namespace sluice::transport {
namespace {

class AsioAlarm final : public Alarm {
 public:
  explicit AsioAlarm(asio::io_context& context) : timer_(context) {}
  ~AsioAlarm() override { *settings_ += 1; }

  void set(Duration after, std::function<void()> ring) override {
    const std::uint64_t setting = *settings_ += 1;
    timer_.expires_after(after);
    // A wait that has ended is called even if it is cancelled after that: the count tells it that it is stale.
    timer_.async_wait(
        [settings = settings_, setting, ring = std::move(ring)](const boost::system::error_code& stopped) {
          if (!stopped && *settings == setting) ring();
        });
  }
  void cancel() override {
    *settings_ += 1;
    timer_.cancel();
  }

 private:
  asio::steady_timer timer_;
  std::shared_ptr<std::uint64_t> settings_ = std::make_shared<std::uint64_t>(0);
};

}  // namespace

std::unique_ptr<Alarm> AsioLoop::make_alarm() { return std::make_unique<AsioAlarm>(context_); }

}  // namespace sluice::transport
