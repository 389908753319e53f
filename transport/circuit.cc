#include "transport/circuit.h"

#include <algorithm>
#include <limits>

namespace sluice::transport {
std::string_view circuit_state_name(CircuitState state) {
  switch (state) {
    case CircuitState::kClosed:
      return "closed";
    case CircuitState::kOpen:
      return "open";
    case CircuitState::kHalfOpen:
      return "half_open";
  }
  return "closed";
}

void Circuit::succeeded() {
  failures_ = 0;
  retry_at_ = Instant();
  trial_until_ = Instant();
}

bool Circuit::failed(Instant now) {
  const bool was_open = is_open();
  if (failures_ < std::numeric_limits<std::uint32_t>::max()) ++failures_;
  retry_at_ = now + wait();
  trial_until_ = Instant();
  return is_open() && !was_open;
}

bool Circuit::admit(Instant now) {
  if (!is_open()) return true;
  if (now < retry_at_ || now < trial_until_) return false;
  trial_until_ = now + options_.trial;
  return true;
}

CircuitState Circuit::state(Instant now) const {
  if (!is_open()) return CircuitState::kClosed;
  return now < retry_at_ ? CircuitState::kOpen : CircuitState::kHalfOpen;
}

Duration Circuit::wait() {
  Duration whole = options_.first_wait;
  for (std::uint32_t doubled = 1; doubled < failures_ && whole < options_.longest_wait; ++doubled) whole *= 2;
  whole = std::min(whole, options_.longest_wait);
  const auto half = static_cast<std::uint64_t>(whole.count()) / 2;
  return whole - Duration(static_cast<std::int64_t>(random_.below(half + 1)));
}

}  // namespace sluice::transport
