// Where events go. One sink per node, handed down by its composition root; a fan-out joins several.
#pragma once

#include <span>
#include <vector>

#include "base/clock.h"
#include "base/event.h"

namespace sluice {

/// Receives every event of a node. Threads: emit() is called from any thread of the node and must not block.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void emit(const Event& event, Instant now) = 0;
};

/// Drops everything.
class NullEventSink final : public EventSink {
 public:
  void emit(const Event&, Instant) override {}
};

/// Passes each event to several sinks, in order. The sinks must outlive it.
class FanOutEventSink final : public EventSink {
 public:
  explicit FanOutEventSink(std::vector<EventSink*> sinks) : sinks_(std::move(sinks)) {}
  void emit(const Event& event, Instant now) override {
    for (EventSink* sink : sinks_) sink->emit(event, now);
  }

 private:
  std::vector<EventSink*> sinks_;
};

}  // namespace sluice
