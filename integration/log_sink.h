// Writes what happens in a node for people: one line for each event that matters, lower case, value after its name.
// Place in the flow: one of the daemon's event sinks; libraries never log.
// Invariant: at most kLinesPerSecond lines of one kind in a second; what is left out is counted and told.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>

#include "base/event_sink.h"

namespace sluice::integration {

/// The line for an event; empty for those that would only fill the log (units, grants, slots).  Threads: pure.
std::string log_line(const Event& event);

/// Threads: every function from any. `out` must outlive it.
class LogSink final : public EventSink {
 public:
  static constexpr std::uint32_t kLinesPerSecond = 20;

  explicit LogSink(std::FILE* out) : out_(out) {}
  void emit(const Event& event, Instant now) override;

 private:
  struct Budget {
    std::int64_t second = -1;
    std::uint32_t written = 0;
    std::uint64_t left_out = 0;
  };
  std::mutex mutex_;
  std::FILE* out_;
  std::array<Budget, std::variant_size_v<Event>> budgets_;
};

}  // namespace sluice::integration
