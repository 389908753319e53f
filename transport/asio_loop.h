// The Loop of a real node: an io_context that somebody else turns.
#pragma once

#include <functional>
#include <memory>

#include "transport/asio.h"
#include "transport/loop.h"

namespace sluice::transport {

/// Does not own the io_context, which must outlive it and its alarms.
class AsioLoop final : public Loop {
 public:
  explicit AsioLoop(asio::io_context& context) : context_(context) {}
  void post(std::function<void()> task) override { asio::post(context_, std::move(task)); }
  void dispatch(std::function<void()> task) override { asio::dispatch(context_, std::move(task)); }
  std::unique_ptr<Alarm> make_alarm() override;

 private:
  asio::io_context& context_;
};

}  // namespace sluice::transport
