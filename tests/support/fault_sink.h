// The events of a node under test: counted, the telling ones written as JSON lines, and at one chosen event the process
// kills or stops itself: in that very state of the protocol, before anything else happens on that thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/event_sink.h"

namespace sluice::support {

/// Names of the alternatives of Event, in its order: what a fault is chosen by.
inline constexpr std::array<std::string_view, std::variant_size_v<Event>> kEventNames = {
    "SessionUp",     "SessionDown",  "HandshakeRefused", "RequestOpened", "Decided",   "UnitOffered",  "UnitGranted",
    "UnitMoved",     "UnitRefused",  "UnitDecoded",      "RequestSealed", "StepTimed", "RequestEnded", "FellBack",
    "CircuitOpened", "SlotReleased", "LeaseExpired",     "LinkMeasured",  "Predicted"};

/// Writes one JSON value as one line of standard output, at once.  Threads: any.
class LineWriter {
 public:
  void write(const nlohmann::json& line);

 private:
  std::mutex mutex_;
};

/// The process sends itself `signal` at the `count`-th event named `event`.
struct FaultPoint {
  std::string event;
  std::uint64_t count = 1;
  int signal = 0;
};

/// Threads: emit() from any.
class FaultSink final : public EventSink {
 public:
  FaultSink(LineWriter& lines, std::optional<FaultPoint> fault) : lines_(lines), fault_(std::move(fault)) {}
  void emit(const Event& event, Instant now) override;
  /// How often each event came, those that came at all; and the number of different slots that were granted.
  nlohmann::json counts() const;

 private:
  LineWriter& lines_;
  std::optional<FaultPoint> fault_;
  std::array<std::atomic<std::uint64_t>, kEventNames.size()> counts_{};
  std::atomic<std::uint32_t> slots_seen_{0};
};

}  // namespace sluice::support
