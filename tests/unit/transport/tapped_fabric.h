// A stream fabric whose connecting side sees each frame through a sink of the test's: it may change what is shown, or
// show what never came.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "transport/fabric.h"

namespace sluice::transport::test {

/// Makes the sink that stands before the session's own.
using Tap = std::function<std::unique_ptr<FrameSink>(FrameSink& session)>;

class TappedChannel final : public Channel {
 public:
  TappedChannel(std::unique_ptr<Channel> channel, Tap tap) : tap_(std::move(tap)), channel_(std::move(channel)) {}
  void start(FrameSink& sink) override {
    sink_ = tap_(sink);
    channel_->start(*sink_);
  }
  Result<void> send(OutgoingFrame frame) override { return channel_->send(std::move(frame)); }
  void drop(RequestId request) override { channel_->drop(request); }
  Bytes queued() const override { return channel_->queued(); }
  void close(Error error) override { channel_->close(error); }

 private:
  Tap tap_;
  std::unique_ptr<FrameSink> sink_;
  std::unique_ptr<Channel> channel_;
};

class TappedFabric final : public StreamFabric {
 public:
  TappedFabric(std::unique_ptr<StreamFabric> fabric, Tap tap) : fabric_(std::move(fabric)), tap_(std::move(tap)) {}
  std::string_view name() const override { return fabric_->name(); }
  Result<std::string> listen(const std::string& address, ChannelDone accepted) override {
    return fabric_->listen(address, std::move(accepted));
  }
  void connect(const std::string& address, ChannelDone done) override {
    fabric_->connect(address, [this, done = std::move(done)](Result<std::unique_ptr<Channel>> channel) {
      if (!channel) return done(channel.error());
      done(std::unique_ptr<Channel>(std::make_unique<TappedChannel>(std::move(channel).value(), tap_)));
    });
  }
  void close() override { fabric_->close(); }

 private:
  std::unique_ptr<StreamFabric> fabric_;
  Tap tap_;
};

}  // namespace sluice::transport::test
