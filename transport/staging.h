// The staging ring as a node's sessions share it: slots go out on the loop thread and come back from any.
// Lives as long as its last SlotHold, so that held bytes stay readable after the Endpoint is gone.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/event_sink.h"
#include "transport/loop.h"
#include "transport/ring.h"
#include "transport/slot_hold.h"

namespace sluice::transport {

/// Threads: the loop's, but for release().
class Staging final : public SlotReturn, public std::enable_shared_from_this<Staging> {
 public:
  Staging(std::unique_ptr<Ring> ring, Loop& loop, const Clock& clock, EventSink& events)
      : ring_(std::move(ring)), loop_(&loop), clock_(&clock), events_(&events) {}

  Result<Slot> take(Bytes size) { return ring_->take(size); }
  Slot renew(SlotIndex slot) { return ring_->renew(slot); }
  void free(SlotIndex slot, Generation generation) {
    ring_->free(slot, generation);
    if (events_ != nullptr) events_->emit(SlotReleased{slot, generation}, clock_->now());
    if (on_free_) on_free_();
  }
  SlotHold hold(const Slot& slot, Bytes length) {
    return SlotHold(shared_from_this(), slot.index, slot.generation, slot.bytes.first(length.count()));
  }
  /// At once on the loop thread, else by a post to it.
  void release(SlotIndex slot, Generation generation) override {
    Loop* const loop = loop_.load();
    if (loop != nullptr)
      loop->dispatch([self = shared_from_this(), slot, generation] { self->free(slot, generation); });
  }

  void set_on_free(std::function<void()> on_free) { on_free_ = std::move(on_free); }
  /// The endpoint goes, and its loop may: nothing is told any more, and holds only keep the bytes.
  void detach() {
    loop_ = nullptr;
    events_ = nullptr;
    on_free_ = nullptr;
  }
  Bytes size() const { return ring_->size(); }
  Bytes used() const { return ring_->used(); }

 private:
  std::unique_ptr<Ring> ring_;
  std::atomic<Loop*> loop_;
  const Clock* clock_;
  EventSink* events_;
  std::function<void()> on_free_;
};

}  // namespace sluice::transport
