// A Channel over a connection that its own running operations keep alive as well.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "transport/fabric.h"

namespace sluice::transport {

/// Connection: start, send, drop, queued and close as Channel has them; abandon(), where it has one, is called when the
/// owner lets go; vouches_for(), where it has one, is asked. Threads: the loop's.
template <typename Connection>
class SharedChannel final : public Channel {
 public:
  explicit SharedChannel(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}
  ~SharedChannel() override {
    if constexpr (requires(Connection & held) { held.abandon(); }) connection_->abandon();
  }
  void start(FrameSink& sink) override { connection_->start(sink); }
  Result<void> send(OutgoingFrame frame) override { return connection_->send(std::move(frame)); }
  void drop(RequestId request) override { connection_->drop(request); }
  Bytes queued() const override { return connection_->queued(); }
  void close(Error error) override { connection_->close(error); }
  bool vouches_for(std::string_view name) const override {
    if constexpr (requires(const Connection& held) { held.vouches_for(name); }) return connection_->vouches_for(name);
    return Channel::vouches_for(name);
  }

 private:
  std::shared_ptr<Connection> connection_;
};

}  // namespace sluice::transport
