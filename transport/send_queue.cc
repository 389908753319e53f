#include "transport/send_queue.h"

#include <memory>
#include <utility>

namespace sluice::transport {

std::span<const std::byte> payload_of(const OutgoingFrame& frame) {
  return frame.owned.empty() ? frame.payload : std::span<const std::byte>(frame.owned);
}

Bytes wire_size(const OutgoingFrame& frame) { return Bytes(kFrameHeaderSize + payload_of(frame).size()); }

bool is_data(const OutgoingFrame& frame) { return frame.header.type == MessageType::kData; }

void settle(OutgoingFrame& frame, const Result<void>& outcome) {
  frame.keepalive.reset();
  if (frame.on_sent) frame.on_sent(outcome);
}

std::function<void()> settling(std::deque<OutgoingFrame> frames, Error error) {
  return [held = std::make_shared<std::deque<OutgoingFrame>>(std::move(frames)), error] {
    for (OutgoingFrame& frame : *held) settle(frame, error);
  };
}

Result<void> SendQueue::push(OutgoingFrame frame) {
  const Bytes size = wire_size(frame);
  if (bytes_ + size > limits_.bytes || control_.size() + data_.size() >= limits_.frames) {
    return Error{ErrorCode::kQueueFull, 0, "send queue"};
  }
  bytes_ += size;
  (is_data(frame) ? data_ : control_).push_back(std::move(frame));
  return {};
}

OutgoingFrame SendQueue::pop() {
  std::deque<OutgoingFrame>& queue = control_.empty() ? data_ : control_;
  OutgoingFrame frame = std::move(queue.front());
  queue.pop_front();
  return frame;
}

std::deque<OutgoingFrame> SendQueue::drop(RequestId request) {
  std::deque<OutgoingFrame> gone;
  for (auto at = data_.begin(); at != data_.end();) {
    if (at->header.unit.request != request) {
      ++at;
      continue;
    }
    bytes_ -= wire_size(*at);
    gone.push_back(std::move(*at));
    at = data_.erase(at);
  }
  return gone;
}

std::deque<OutgoingFrame> SendQueue::take_data() { return taken(data_); }

std::deque<OutgoingFrame> SendQueue::take_control() { return taken(control_); }

std::deque<OutgoingFrame> SendQueue::taken(std::deque<OutgoingFrame>& from) {
  std::deque<OutgoingFrame> out;
  out.swap(from);
  for (const OutgoingFrame& frame : out) bytes_ -= wire_size(frame);
  return out;
}

}  // namespace sluice::transport
