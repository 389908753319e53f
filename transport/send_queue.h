// What a channel has taken from send() and not yet handed over: bounded, control frames before DATA, and every frame
// told its end once. Place in the flow: between Channel::send and what a fabric writes with.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <span>

#include "transport/fabric.h"

namespace sluice::transport {

/// Payload of a frame, wherever it is held.  Threads: pure.
std::span<const std::byte> payload_of(const OutgoingFrame& frame);
/// Header and payload.  Threads: pure.
Bytes wire_size(const OutgoingFrame& frame);
bool is_data(const OutgoingFrame& frame);
/// Lets the payload go, then calls on_sent.
void settle(OutgoingFrame& frame, const Result<void>& outcome);

/// What a frame ends with that was dropped.
inline constexpr Error kDropped{ErrorCode::kAborted, 0, "dropped before it began"};

/// Settles frames when it is called: for the loop, since no on_sent may run inside a call of the channel.
std::function<void()> settling(std::deque<OutgoingFrame> frames, Error error);

/// What send() takes on one channel.
struct SendLimits {
  Bytes bytes{512U << 20U};
  std::size_t frames = 16384;
};

/// Threads: the loop's.
class SendQueue {
 public:
  explicit SendQueue(const SendLimits& limits) : limits_(limits) {}

  /// Errors: kQueueFull, and nothing was taken.
  Result<void> push(OutgoingFrame frame);
  bool is_empty() const { return control_.empty() && data_.empty(); }
  bool has_data() const { return !data_.empty(); }
  /// The next frame; its bytes count until sent(). Not on an empty queue.
  OutgoingFrame pop();
  /// A popped frame needs its bytes no more.
  void sent(const OutgoingFrame& frame) { bytes_ -= wire_size(frame); }
  /// Takes out the DATA frames of a request that were not popped.
  std::deque<OutgoingFrame> drop(RequestId request);
  /// Takes out all DATA frames that were not popped.
  std::deque<OutgoingFrame> take_data();
  /// Takes out the control frames that were not popped.
  std::deque<OutgoingFrame> take_control();
  /// Of all frames that were pushed and not yet sent or taken out.
  Bytes bytes() const { return bytes_; }

 private:
  std::deque<OutgoingFrame> taken(std::deque<OutgoingFrame>& from);

  SendLimits limits_;
  std::deque<OutgoingFrame> control_;
  std::deque<OutgoingFrame> data_;
  Bytes bytes_;
};

}  // namespace sluice::transport
