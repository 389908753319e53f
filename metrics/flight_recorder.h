// The last events of a node, for the time after something went wrong. A ring of fixed size: recording never allocates
// more than the event itself holds, and never waits for a reader longer than a copy.
// Words inside events are views: they must be literals (or live as long as the recorder), as all words of events are.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "base/event_sink.h"

namespace sluice::metrics {

/// An event and when it was emitted.
struct RecordedEvent {
  Instant at;
  Event event;
};

/// One event as a JSON object: {"at_ns": ..., "event": "unit_granted", ...fields}. Digits only for numbers of up to 53
/// bits; ids are strings.  Threads: pure.
std::string event_json(const RecordedEvent& recorded);

/// Threads: every function from any.
class FlightRecorder final : public EventSink {
 public:
  /// Keeps the last `capacity` events, at least 1.
  explicit FlightRecorder(std::size_t capacity);

  void emit(const Event& event, Instant now) override;

  /// Oldest first.
  std::vector<RecordedEvent> events() const;
  /// Those of one request, oldest first; events of links and slots that belong to no request are left out.
  std::vector<RecordedEvent> events_of(RequestId request) const;
  /// How many were overwritten so far.
  std::uint64_t overwritten() const;
  /// {"overwritten": n, "events": [...]}
  std::string json() const;

 private:
  mutable std::mutex mutex_;
  std::size_t capacity_;
  std::uint64_t recorded_ = 0;
  std::vector<RecordedEvent> ring_;
};

}  // namespace sluice::metrics
