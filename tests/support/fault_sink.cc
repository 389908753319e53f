#include "tests/support/fault_sink.h"

#include <unistd.h>
#include <csignal>
#include <cstdio>

#include <algorithm>

namespace sluice::support {
namespace {

using nlohmann::json;

std::string_view side_name(Side side) { return side == Side::kSend ? "send" : "receive"; }

/// The line that tells of an event; null for those that only count.
json line_of(const Event& event) {
  if (const auto* up = std::get_if<SessionUp>(&event)) return {{"event", "SessionUp"}, {"transport", up->transport}};
  if (const auto* down = std::get_if<SessionDown>(&event)) {
    return {{"event", "SessionDown"}, {"error", error_name(down->error.code)}, {"where", down->error.where}};
  }
  if (const auto* refused = std::get_if<HandshakeRefused>(&event)) {
    return {{"event", "HandshakeRefused"}, {"error", error_name(refused->error.code)}, {"field", refused->field}};
  }
  if (const auto* refused = std::get_if<UnitRefused>(&event)) {
    return {{"event", "UnitRefused"}, {"error", error_name(refused->error.code)}, {"where", refused->error.where}};
  }
  if (const auto* ended = std::get_if<RequestEnded>(&event)) {
    return {{"event", "RequestEnded"},
            {"request", ended->request.value()},
            {"side", side_name(ended->side)},
            {"error", error_name(ended->error.code)}};
  }
  return nullptr;
}

}  // namespace

void LineWriter::write(const json& line) {
  const std::string text = line.dump() + "\n";
  const std::lock_guard lock(mutex_);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void FaultSink::emit(const Event& event, Instant) {
  const std::uint64_t count = ++counts_[event.index()];
  if (const auto* granted = std::get_if<UnitGranted>(&event)) {
    std::uint32_t seen = slots_seen_;
    while (seen <= granted->slot.value() && !slots_seen_.compare_exchange_weak(seen, granted->slot.value() + 1)) {
    }
  }
  if (const json line = line_of(event); !line.is_null()) lines_.write(line);
  if (!fault_ || kEventNames[event.index()] != fault_->event || count != fault_->count) return;
  lines_.write({{"fault", fault_->event}, {"count", count}, {"signal", fault_->signal}});
  kill(getpid(), fault_->signal);
}

json FaultSink::counts() const {
  json counts = json::object();
  for (std::size_t place = 0; place < kEventNames.size(); ++place) {
    if (counts_[place] > 0) counts[std::string(kEventNames[place])] = counts_[place].load();
  }
  counts["slots_seen"] = slots_seen_.load();
  return counts;
}

}  // namespace sluice::support
