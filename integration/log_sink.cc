#include "integration/log_sink.h"

#include <string_view>

namespace sluice::integration {
namespace {

std::string cause(const Error& error) {
  std::string text(error_name(error.code));
  if (error.where[0] != '\0') text += std::string(" (") + error.where + ")";
  if (error.native != 0) text += " native " + std::to_string(error.native);
  return text;
}

std::string milliseconds(Duration span) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(span).count()) + " ms";
}

/// One overload for each event that is worth a line; the template takes all others.
struct Writer {
  template <typename Other>
  std::string operator()(const Other&) const {
    return {};
  }
  std::string operator()(const SessionUp& event) const {
    return "session up peer " + std::to_string(event.peer.value()) + " name " + std::string(event.name.view()) +
           " transport " + std::string(event.transport) + " reason " + std::string(event.reason);
  }
  std::string operator()(const SessionDown& event) const {
    return "session down peer " + std::to_string(event.peer.value()) + " cause " + cause(event.error);
  }
  std::string operator()(const HandshakeRefused& event) const {
    return "handshake refused field " + std::string(event.field) + " cause " + cause(event.error);
  }
  std::string operator()(const UnitRefused& event) const {
    return "unit refused request " + std::to_string(event.unit.request.value()) + " chunk " +
           std::to_string(event.unit.chunk.value()) + " group " + std::to_string(event.unit.group.value()) + " cause " +
           cause(event.error);
  }
  std::string operator()(const RequestEnded& event) const {
    return "request ended id " + std::to_string(event.request.value()) +
           (event.side == Side::kSend ? " side send" : " side receive") + " outcome " + cause(event.error) + " after " +
           milliseconds(event.duration) + " slack " + milliseconds(event.slack);
  }
  std::string operator()(const FellBack& event) const {
    return "fell back request " + std::to_string(event.request.value()) + " cause " + std::string(event.cause);
  }
  std::string operator()(const CircuitOpened& event) const {
    return "circuit open peer " + std::string(event.peer.view()) + " cause " + cause(event.error);
  }
  std::string operator()(const LeaseExpired& event) const {
    return "lease expired slot " + std::to_string(event.slot.value()) + " peer " + std::to_string(event.peer.value());
  }
};

}  // namespace

std::string log_line(const Event& event) { return std::visit(Writer{}, event); }

void LogSink::emit(const Event& event, Instant now) {
  const std::string line = log_line(event);
  if (line.empty()) return;
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(now.since_start()).count();
  const std::lock_guard lock(mutex_);
  Budget& budget = budgets_[event.index()];
  if (budget.second != millis / 1000) {
    if (budget.left_out > 0) {
      std::fprintf(out_, "%lld ms left out %llu lines of this kind\n", static_cast<long long>(millis),
                   static_cast<unsigned long long>(budget.left_out));
    }
    budget = {millis / 1000, 0, 0};
  }
  if (budget.written >= kLinesPerSecond) {
    ++budget.left_out;
    return;
  }
  ++budget.written;
  std::fprintf(out_, "%lld ms %s\n", static_cast<long long>(millis), line.c_str());
}

}  // namespace sluice::integration
