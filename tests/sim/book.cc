#include "tests/sim/book.h"

#include <algorithm>
#include <cstring>

namespace sluice::transport::simtest {

void expect(ErrorCode wanted, const Result<void>& outcome, const char* call, RequestId request) {
  const ErrorCode code = outcome ? ErrorCode::kOk : outcome.error().code;
  // A call may find its session at its end.
  const bool is_down = wanted != ErrorCode::kOk && (code == ErrorCode::kPeerLost || code == ErrorCode::kNotFound);
  if (code == wanted || is_down) return;
  broken("{} of request {} gives error {} instead of {}", call, request.value(), static_cast<int>(code),
         static_cast<int>(wanted));
}

std::vector<std::byte> part_bytes(UnitKey unit, Part part, std::size_t size) {
  const std::uint64_t place = unit.request.value() * 1000003U + unit.chunk.value() * 8191U + unit.group.value() * 131U +
                              static_cast<std::uint64_t>(part) * 7U;
  std::vector<std::byte> bytes(size);
  for (std::size_t at = 0; at < size; at += 8) {
    const std::uint64_t word = (place + at) * 0x9E3779B97F4A7C15U;
    std::memcpy(bytes.data() + at, &word, std::min<std::size_t>(8, size - at));
  }
  return bytes;
}

Wanted& Book::running(Session& session, RequestId request, const char* call) {
  const auto at = wanted.find(request);
  if (at == wanted.end() || at->second.session != &session) {
    broken("{} of a request that is not its {}", call, request.value());
  }
  if (at->second.ended) broken("{} after the end of request {}", call, request.value());
  if (!up.contains(&session)) broken("{} on a session that is down, request {}", call, request.value());
  return at->second;
}

Held& Book::serving(Session& session, RequestId request, const char* call) {
  const auto at = held.find({&session, request});
  if (at == held.end()) broken("{} of a request that was not opened or has ended, {}", call, request.value());
  return at->second;
}

Instant Book::deadline_of(RequestId request) const {
  for (const auto& [key, own] : held) {
    if (key.second == request) return own.deadline;
  }
  return Instant::never();
}

void Book::check_down(Session& session) {
  for (const auto& [request, own] : wanted) {
    if (own.session != &session) continue;
    if (!own.ended) broken("on_down left request {} open", request.value());
    for (const auto& [slot, use] : slots) {
      if (use.part.first.request == request && use.state != SlotUse::State::kHeld)
        broken("on_down left slots of {}", request.value());
    }
  }
  for (const auto& [key, own] : held) {
    if (key.first == &session) broken("on_down left served request {} open", key.second.value());
  }
  if (up.erase(&session) != 1) broken("on_down without on_up");
  goaways.erase(&session);
}

void Book::check_leases_ended(RequestId request) const {
  for (const auto& [slot, use] : slots) {
    if (use.state == SlotUse::State::kLeased && use.part.first.request == request)
      broken("a lease outlives the end of request {}", request.value());
  }
}

void Book::check_apart(std::span<const std::byte> place, SlotIndex own) const {
  for (const auto& [slot, use] : slots) {
    if (slot == own || use.bytes.empty()) continue;
    const bool apart =
        place.data() + place.size() <= use.bytes.data() || use.bytes.data() + use.bytes.size() <= place.data();
    if (!apart) broken("slots {} and {} overlap", own.value(), slot.value());
  }
}

void Book::fill(SlotIndex slot, std::span<const std::byte> place) {
  check_apart(place, slot);
  SlotUse& use = slots.at(slot);
  use.state = SlotUse::State::kFilling;
  use.bytes = place;
}

void Book::stop_filling(SlotIndex slot, Generation generation) {
  const auto at = slots.find(slot);
  if (at == slots.end() || at->second.generation != generation) return;
  at->second.state = SlotUse::State::kWritten;
  at->second.bytes = {};
}

void Book::hold(UnitKey unit, Part part, std::span<const std::byte> bytes) {
  for (auto& [slot, use] : slots) {
    if (use.part != PartKey(unit, part) || use.state == SlotUse::State::kHeld) continue;
    check_apart(bytes, slot);
    use.state = SlotUse::State::kHeld;
    use.bytes = bytes;
    return;
  }
  broken("a part is told of a slot that is not leased for it, request {}", unit.request.value());
}

void Book::let_go(std::span<const std::byte> bytes) {
  for (auto& [slot, use] : slots) {
    if (use.state == SlotUse::State::kHeld && use.bytes.data() == bytes.data()) {
      use.state = SlotUse::State::kWritten;
      return;
    }
  }
  broken("a held slot was given away");
}

void Book::emit(const Event& event, Instant) {
  std::visit([this](const auto& it) { on(it); }, event);
}

void Book::on(const RequestOpened& event) {
  if (!opened_.emplace(event.request, event.side).second) broken("event: {} opened twice", event.request.value());
}

void Book::on(const RequestEnded& event) {
  if (opened_.erase({event.request, event.side}) != 1) {
    broken("event: {} ended twice or was not opened", event.request.value());
  }
  if (event.side == Side::kReceive) {
    reported_[event.request] = event.error.code;
    return;
  }
  const Calls& told = calls[event.request];
  const bool is_served = told.ends == 1 && told.aborted == ErrorCode::kOk;
  if (is_served != (event.error.code == ErrorCode::kOk)) {
    broken("event: served request {} ended as another than was told", event.request.value());
  }
}

void Book::check_reported() const {
  if (!opened_.empty()) broken("event: no end of request {}", opened_.begin()->first.value());
}

ErrorCode Book::reported(RequestId request) const {
  const auto at = reported_.find(request);
  if (at == reported_.end()) broken("event: no end of request {}", request.value());
  return at->second;
}

void Book::on(const UnitGranted& event) {
  if (event.side != Side::kReceive) return;
  Generation& newest = newest_[event.slot];
  if (event.generation <= newest) broken("slot {} was granted under an old generation", event.slot.value());
  newest = event.generation;
  const PartKey part(event.unit, event.part);
  const auto [at, is_new] = slots.insert({event.slot, SlotUse{event.generation, part, SlotUse::State::kLeased, {}}});
  if (is_new) return;
  const bool is_renewed = at->second.part == part && at->second.state == SlotUse::State::kWritten;
  if (!is_renewed) broken("slot {} is leased twice", event.slot.value());
  at->second.generation = event.generation;
  at->second.state = SlotUse::State::kLeased;
}

void Book::on(const SlotReleased& event) {
  const auto at = slots.find(event.slot);
  if (at == slots.end() || at->second.generation != event.generation) broken("slot {} freed twice", event.slot.value());
  if (at->second.state == SlotUse::State::kHeld) broken("slot {} is freed while it is held", event.slot.value());
  if (at->second.state == SlotUse::State::kFilling) broken("slot {} is freed while it is filled", event.slot.value());
  slots.erase(at);
}

}  // namespace sluice::transport::simtest
