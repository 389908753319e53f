#include "metrics/flight_recorder.h"

#include <algorithm>
#include <optional>

namespace sluice::metrics {
namespace {

std::optional<RequestId> request_of(const Event& event) {
  return std::visit(
      [](const auto& alternative) -> std::optional<RequestId> {
        if constexpr (requires { alternative.request; }) return alternative.request;
        if constexpr (requires { alternative.unit; }) return alternative.unit.request;
        return std::nullopt;
      },
      event);
}

}  // namespace

FlightRecorder::FlightRecorder(std::size_t capacity) : capacity_(std::max<std::size_t>(1, capacity)) {
  ring_.reserve(capacity_);
}

void FlightRecorder::emit(const Event& event, Instant now) {
  const std::lock_guard lock(mutex_);
  if (ring_.size() < capacity_) {
    ring_.push_back(RecordedEvent{now, event});
  } else {
    ring_[recorded_ % capacity_] = RecordedEvent{now, event};
  }
  ++recorded_;
}

std::vector<RecordedEvent> FlightRecorder::events() const {
  const std::lock_guard lock(mutex_);
  std::vector<RecordedEvent> ordered = ring_;
  if (ring_.size() == capacity_) {
    std::rotate(ordered.begin(), ordered.begin() + static_cast<std::ptrdiff_t>(recorded_ % capacity_), ordered.end());
  }
  return ordered;
}

std::vector<RecordedEvent> FlightRecorder::events_of(RequestId request) const {
  std::vector<RecordedEvent> found = events();
  std::erase_if(found, [&](const RecordedEvent& recorded) { return request_of(recorded.event) != request; });
  return found;
}

std::uint64_t FlightRecorder::overwritten() const {
  const std::lock_guard lock(mutex_);
  return recorded_ - ring_.size();
}

std::string FlightRecorder::json() const {
  std::string text = "{\"overwritten\":" + std::to_string(overwritten()) + ",\"events\":[";
  bool is_first = true;
  for (const RecordedEvent& recorded : events()) {
    if (!is_first) text += ",";
    is_first = false;
    text += event_json(recorded);
  }
  return text + "]}";
}

}  // namespace sluice::metrics
