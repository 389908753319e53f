// Events as JSON objects, one line each; written by hand because the tree's JSON library lives in integration only.
#include <cstdio>

#include "metrics/flight_recorder.h"

namespace sluice::metrics {
namespace {

void append_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      out += '\\';
      out += letter;
    } else if (code < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", code);
      out += escaped;
    } else {
      out += letter;
    }
  }
  out += '"';
}

/// Appends one "name":value after another.
class Object {
 public:
  explicit Object(std::string_view event) { field("event", event); }

  Object& field(std::string_view name, std::string_view value) {
    begin(name);
    append_text(text_, value);
    return *this;
  }
  Object& field(std::string_view name, std::int64_t value) {
    begin(name);
    text_ += std::to_string(value);
    return *this;
  }
  Object& id(std::string_view name, std::uint64_t value) { return field(name, std::to_string(value)); }
  Object& span(std::string_view name, Duration value) { return field(name, value.count()); }
  Object& count(std::string_view name, std::uint64_t value) { return field(name, static_cast<std::int64_t>(value)); }
  Object& unit(UnitKey unit) {
    return id("request", unit.request.value()).count("chunk", unit.chunk.value()).count("group", unit.group.value());
  }
  Object& part(Part part) { return count("part", static_cast<std::uint64_t>(part)); }
  Object& peer(PeerId peer) { return count("peer", peer.value()); }
  Object& side(Side side) { return field("side", side == Side::kSend ? "send" : "receive"); }
  Object& error(const Error& error) {
    field("error", error.code == ErrorCode::kOk ? std::string_view("ok") : error_name(error.code));
    return field("where", std::string_view(error.where));
  }
  Object& lease(SlotIndex slot, Generation generation) {
    return count("slot", slot.value()).id("generation", generation.value());
  }
  std::string text() && { return std::move(text_); }

 private:
  void begin(std::string_view name) {
    if (!text_.empty()) text_ += ',';
    append_text(text_, name);
    text_ += ':';
  }
  std::string text_;
};

std::string_view step_word(Step step) {
  constexpr std::string_view kWords[] = {"queue", "gather", "encode", "wire", "verify", "decode", "inject", "prefill"};
  return kWords[static_cast<std::size_t>(step)];
}

struct Writer {
  Object operator()(const SessionUp& e) const {
    return Object("session_up")
        .peer(e.peer)
        .field("name", e.name.view())
        .field("transport", e.transport)
        .field("wanted", e.wanted)
        .field("reason", e.reason);
  }
  Object operator()(const SessionDown& e) const { return Object("session_down").peer(e.peer).error(e.error); }
  Object operator()(const HandshakeRefused& e) const {
    return Object("handshake_refused").peer(e.peer).error(e.error).field("field", e.field);
  }
  Object operator()(const CircuitOpened& e) const {
    return Object("circuit_opened").field("peer", e.peer.view()).error(e.error);
  }
  Object operator()(const RequestOpened& e) const {
    return Object("request_opened")
        .id("request", e.request.value())
        .peer(e.peer)
        .side(e.side)
        .span("deadline_ns", e.deadline.since_start());
  }
  Object operator()(const Decided& e) const {
    return Object("decided")
        .id("request", e.request.value())
        .field("choice", e.choice)
        .field("reason", e.reason)
        .span("slack_ns", e.slack);
  }
  Object operator()(const UnitOffered& e) const { return Object("unit_offered").unit(e.unit).side(e.side); }
  Object operator()(const UnitGranted& e) const {
    return Object("unit_granted").unit(e.unit).part(e.part).side(e.side).lease(e.slot, e.generation);
  }
  Object operator()(const UnitMoved& e) const {
    return Object("unit_moved")
        .unit(e.unit)
        .part(e.part)
        .peer(e.peer)
        .side(e.side)
        .count("wire_bytes", e.wire.count())
        .count("raw_bytes", e.raw.count());
  }
  Object operator()(const UnitRefused& e) const {
    return Object("unit_refused").unit(e.unit).part(e.part).peer(e.peer).error(e.error);
  }
  Object operator()(const UnitDecoded& e) const { return Object("unit_decoded").unit(e.unit).part(e.part); }
  Object operator()(const RequestSealed& e) const {
    return Object("request_sealed").id("request", e.request.value()).side(e.side).count("units", e.units.count());
  }
  Object operator()(const StepTimed& e) const {
    return Object("step_timed")
        .id("request", e.request.value())
        .field("step", step_word(e.step))
        .span("duration_ns", e.duration);
  }
  Object operator()(const RequestEnded& e) const {
    return Object("request_ended")
        .id("request", e.request.value())
        .peer(e.peer)
        .side(e.side)
        .error(e.error)
        .span("duration_ns", e.duration)
        .span("slack_ns", e.slack);
  }
  Object operator()(const FellBack& e) const {
    return Object("fell_back").id("request", e.request.value()).field("cause", e.cause);
  }
  Object operator()(const SlotReleased& e) const { return Object("slot_released").lease(e.slot, e.generation); }
  Object operator()(const LeaseExpired& e) const {
    return Object("lease_expired").peer(e.peer).lease(e.slot, e.generation);
  }
  Object operator()(const LinkMeasured& e) const {
    return Object("link_measured").peer(e.peer).count("bits_per_second", e.rate.count()).span("rtt_ns", e.rtt);
  }
  Object operator()(const Predicted& e) const {
    return Object("predicted").field("what", e.what).span("predicted_ns", e.predicted).span("actual_ns", e.actual);
  }
};

}  // namespace

std::string event_json(const RecordedEvent& recorded) {
  std::string text = "{\"at_ns\":" + std::to_string(recorded.at.since_start().count()) + ",";
  text += std::visit(Writer{}, recorded.event).text();
  return text + "}";
}

}  // namespace sluice::metrics
