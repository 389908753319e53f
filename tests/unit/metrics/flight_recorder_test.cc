#include "metrics/flight_recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <variant>

#include "tests/unit/metrics/busy_node.h"

namespace sluice::metrics {
namespace {

TEST(FlightRecorder, KeepsTheLastInOrderAtEveryFill) {
  for (std::size_t capacity = 1; capacity <= 5; ++capacity) {
    FlightRecorder recorder(capacity);
    for (std::int64_t count = 1; count <= 13; ++count) {
      recorder.emit(UnitDecoded{}, Instant(Duration(count)));
      const auto events = recorder.events();
      ASSERT_EQ(events.size(), std::min<std::size_t>(capacity, static_cast<std::size_t>(count)));
      for (std::size_t place = 0; place < events.size(); ++place) {
        const auto age = static_cast<std::int64_t>(events.size() - 1 - place);
        EXPECT_EQ(events[place].at.since_start().count(), count - age);
      }
      EXPECT_EQ(recorder.overwritten(), static_cast<std::uint64_t>(count) - events.size());
    }
  }
}

TEST(FlightRecorder, FindsARequestsEvents) {
  FlightRecorder recorder(100);
  testing_support::make_busy(recorder);
  const auto found = recorder.events_of(RequestId(42));
  EXPECT_EQ(found.size(), 12u);
  EXPECT_EQ(recorder.events_of(RequestId(43)).size(), 1u);
  EXPECT_TRUE(recorder.events_of(RequestId(44)).empty());
}

TEST(FlightRecorder, EveryKindOfEventHasItsJson) {
  FlightRecorder recorder(100);
  testing_support::make_busy(recorder);
  std::array<bool, std::variant_size_v<Event>> is_seen{};
  for (const RecordedEvent& recorded : recorder.events()) {
    is_seen[recorded.event.index()] = true;
    const std::string json = event_json(recorded);
    EXPECT_TRUE(json.starts_with("{\"at_ns\":1000000,\"event\":\"")) << json;
    EXPECT_TRUE(json.ends_with("}")) << json;
  }
  for (const bool seen : is_seen) EXPECT_TRUE(seen);
}

TEST(FlightRecorder, JsonEscapesWhatWouldBreakIt) {
  const RecordedEvent odd{Instant(), FellBack{RequestId(1), "a\"b\\c\n\x01"}};
  EXPECT_EQ(event_json(odd),
            "{\"at_ns\":0,\"event\":\"fell_back\",\"request\":\"1\",\"cause\":\"a\\\"b\\\\c\\u000a\\u0001\"}");
}

}  // namespace
}  // namespace sluice::metrics
