// Laws of the queue of a channel: it holds no more than its limits, counts exactly, gives control frames first and each
// kind in order, and no frame is lost or told its end twice.
#include "transport/send_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace sluice::transport {
namespace {

constexpr SendLimits kLimits{Bytes(40 * kFrameHeaderSize), 12};

class SendQueueTest : public testing::Test {
 protected:
  OutgoingFrame made(MessageType type, std::uint64_t request, std::size_t payload) {
    OutgoingFrame frame;
    frame.header.type = type;
    frame.header.unit.request = RequestId(request);
    frame.header.generation = Generation(static_cast<std::uint32_t>(next_));
    frame.owned.resize(payload);
    frame.on_sent = [this, number = next_](const Result<void>&) { ++ends_[number]; };
    ++next_;
    return frame;
  }
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, int> ends_;
};

TEST_F(SendQueueTest, HoldsNoMoreThanItsLimitsAndTakesNothingBeyondThem) {
  SendQueue queue(kLimits);
  for (std::size_t count = 0; count < kLimits.frames; ++count) {
    ASSERT_TRUE(queue.push(made(MessageType::kData, 1, 0)).has_value());
  }
  const Bytes before = queue.bytes();
  EXPECT_EQ(queue.push(made(MessageType::kPing, 0, 0)).error().code, ErrorCode::kQueueFull);
  EXPECT_EQ(queue.bytes(), before);
  SendQueue other(kLimits);
  EXPECT_EQ(other.push(made(MessageType::kData, 1, 40 * kFrameHeaderSize)).error().code, ErrorCode::kQueueFull);
  EXPECT_TRUE(other.is_empty());
}

TEST_F(SendQueueTest, EveryFrameOfARandomHistoryEndsOnceAndTheBytesAreThoseThatWait) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    ends_.clear();
    next_ = 0;
    SendQueue queue(kLimits);
    std::map<std::uint64_t, OutgoingFrame> popped;
    Bytes expected;
    std::uint64_t taken = 0;
    for (int step = 0; step < 200; ++step) {
      switch (random() % 6) {
        case 0:
        case 1:
        case 2: {
          const MessageType type = random() % 3 == 0 ? MessageType::kPing : MessageType::kData;
          OutgoingFrame frame = made(type, random() % 3, random() % 200);
          const Bytes size = wire_size(frame);
          if (queue.push(std::move(frame))) {
            expected += size;
            ++taken;
          } else {
            ends_[next_ - 1] = 1;  // the caller's own
          }
          break;
        }
        case 3:
          if (!queue.is_empty()) {
            OutgoingFrame frame = queue.pop();
            popped.emplace(frame.header.generation.value(), std::move(frame));
          }
          break;
        case 4:
          if (!popped.empty()) {
            OutgoingFrame frame = std::move(popped.begin()->second);
            popped.erase(popped.begin());
            expected -= wire_size(frame);
            queue.sent(frame);
            settle(frame, {});
          }
          break;
        default: {
          std::deque<OutgoingFrame> gone = queue.drop(RequestId(random() % 3));
          for (const OutgoingFrame& frame : gone) {
            EXPECT_TRUE(is_data(frame));
            expected -= wire_size(frame);
          }
          settling(std::move(gone), kDropped)();
        }
      }
      ASSERT_EQ(queue.bytes(), expected);
    }
    for (auto& [number, frame] : popped) {
      queue.sent(frame);
      settle(frame, {});
    }
    settling(queue.take_data(), kDropped)();
    settling(queue.take_control(), kDropped)();
    EXPECT_TRUE(queue.is_empty());
    EXPECT_EQ(queue.bytes(), Bytes(0));
    EXPECT_EQ(ends_.size(), next_);
    for (const auto& [number, times] : ends_) EXPECT_EQ(times, 1) << "frame " << number;
    EXPECT_GT(taken, 0U);
  }
}

TEST_F(SendQueueTest, ControlFramesOvertakeDataAndEachKindKeepsItsOrder) {
  SendQueue queue({Bytes(1U << 20U), 100});
  for (int count = 0; count < 20; ++count) {
    ASSERT_TRUE(queue.push(made(count % 3 == 0 ? MessageType::kPing : MessageType::kData, 1, 1)).has_value());
  }
  bool saw_data = false;
  std::map<bool, std::uint64_t> last;
  while (!queue.is_empty()) {
    const OutgoingFrame frame = queue.pop();
    EXPECT_TRUE(is_data(frame) || !saw_data);
    saw_data = saw_data || is_data(frame);
    const auto [at, is_first] = last.emplace(is_data(frame), frame.header.generation.value());
    EXPECT_TRUE(is_first || frame.header.generation.value() > at->second);
    at->second = frame.header.generation.value();
  }
  EXPECT_TRUE(saw_data);
}

}  // namespace
}  // namespace sluice::transport
