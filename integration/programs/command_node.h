// A node without an engine that lives for one command: `send` and `fetch` are peers of a daemon like any other.
// Invariant: the node is closed before it is destroyed, also when the command fails.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/event_sink.h"
#include "base/result.h"
#include "integration/config.h"
#include "integration/node.h"
#include "transport/asio.h"

namespace sluice::programs {

/// Options of a node that listens nowhere and keeps one session, to `peer`.  Threads: pure.
integration::NodeOptions client_options(const integration::Config& config, std::string_view name,
                                        const std::string& peer);

/// Threads: the main thread, which is its loop's.
class CommandNode {
 public:
  /// Errors: those of Node::open.
  static Result<std::unique_ptr<CommandNode>> open(const integration::NodeOptions& options);
  ~CommandNode();

  integration::Node& node() { return *node_; }
  const Clock& clock() const { return clock_; }
  /// Calls `begin` and turns the loop until end().
  void run(const std::function<void()>& begin);
  void end();

 private:
  CommandNode() = default;

  MonotonicClock clock_;
  NullEventSink events_;
  transport::asio::io_context loop_;
  std::unique_ptr<integration::Node> node_;
  bool ended_ = false;
};

}  // namespace sluice::programs
