// What the parts of one node share. Built by Node, handed down; nothing here is global.
#pragma once

#include "base/clock.h"
#include "base/event_sink.h"
#include "integration/engine.h"
#include "integration/unit_coder.h"
#include "integration/worker.h"
#include "transport/asio.h"

namespace sluice::integration {

/// All references outlive the services. `engine` may be null (a store). `coder` is used on the codec worker only,
/// `engine` on the engine worker only.
struct NodeContext {
  transport::asio::io_context& loop;
  const Clock& clock;
  EventSink& events;
  Engine* engine = nullptr;
  UnitCoder& coder;
  Worker& codec_worker;
  Worker& engine_worker;

  /// Runs `job` on the loop thread later.  Threads: any.
  template <typename Job>
  void post(Job job) const {
    transport::asio::post(loop, std::move(job));
  }
  void emit(const Event& event) const { events.emit(event, clock.now()); }
};

}  // namespace sluice::integration
