#include "transport/shm/shared_ring.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace sluice::transport::shm {
namespace {

constexpr std::size_t kRing = 64;

// The memory of two rings of kRing bytes, as a mapping would be.
struct Memory {
  alignas(4096) std::array<std::byte, 4096 + 2 * kRing> bytes{};
  RingView ring(std::size_t index = 0) { return ring_of(bytes, index); }
};

TEST(SharedRing, BytesComeOutAsTheyWentIn) {
  for (const unsigned seed : {1U, 2U, 3U, 4U}) {
    SCOPED_TRACE(seed);
    Memory memory;
    RingWriter writer(memory.ring());
    RingReader reader(memory.ring());
    std::mt19937 random(seed);
    std::uint8_t next_in = 0;
    std::uint8_t next_out = 0;
    for (int step = 0; step < 20'000; ++step) {
      const std::size_t room = *writer.room();
      ASSERT_LE(room, kRing);
      std::vector<std::byte> in(random() % (room + 1));
      for (std::byte& byte : in) byte = std::byte{next_in++};
      writer.put(in);
      (void)writer.publish();
      const std::size_t available = *reader.available();
      ASSERT_EQ(*writer.room() + available, kRing);
      std::vector<std::byte> out(random() % (available + 1));
      reader.take(out);
      for (const std::byte byte : out) ASSERT_EQ(byte, std::byte{next_out++});
      (void)reader.give_back();
    }
  }
}

TEST(SharedRing, TheTwoRingsOfAMemoryDoNotTouch) {
  Memory memory;
  RingWriter first(memory.ring(0));
  first.put(std::vector<std::byte>(kRing, std::byte{1}));
  (void)first.publish();
  EXPECT_EQ(*RingReader(memory.ring(1)).available(), 0U);
  RingWriter second(memory.ring(1));
  second.put(std::vector<std::byte>(kRing, std::byte{2}));
  RingReader reader(memory.ring(0));
  ASSERT_EQ(*reader.available(), kRing);
  std::vector<std::byte> out(kRing);
  reader.take(out);
  EXPECT_EQ(out, std::vector<std::byte>(kRing, std::byte{1}));
}

// Every position that a peer may claim around the honest ones, and the extremes: believed exactly when possible.
TEST(SharedRing, WritePositionIsBelievedOnlyWhenPossible) {
  for (std::uint64_t taken = 0; taken <= 2 * kRing; ++taken) {
    for (const std::uint64_t claim : {std::uint64_t{0}, taken, taken + 1, taken + kRing - 1, taken + kRing,
                                      taken + kRing + 1, std::numeric_limits<std::uint64_t>::max()}) {
      Memory memory;
      RingWriter writer(memory.ring());
      RingReader reader(memory.ring());
      for (std::uint64_t at = 0; at < taken; ++at) {
        writer.put(std::vector<std::byte>(1));
        (void)writer.publish();
        ASSERT_EQ(*reader.available(), 1U);
        reader.skip(1);
        (void)reader.give_back();
        ASSERT_EQ(*writer.room(), kRing);
      }
      memory.ring().counters->written = claim;
      const Result<std::size_t> available = reader.available();
      const bool is_possible = claim >= taken && claim <= taken + kRing;
      ASSERT_EQ(available.has_value(), is_possible) << taken << " " << claim;
      if (is_possible) {
        ASSERT_EQ(*available, claim - taken);
      } else {
        ASSERT_EQ(available.error().code, ErrorCode::kProtocolViolation);
      }
    }
  }
}

TEST(SharedRing, ReadPositionIsBelievedOnlyWhenPossible) {
  for (std::uint64_t put = 0; put <= kRing; ++put) {
    for (std::uint64_t claim = 0; claim <= kRing + 2; ++claim) {
      Memory memory;
      RingWriter writer(memory.ring());
      writer.put(std::vector<std::byte>(put));
      (void)writer.publish();
      memory.ring().counters->read = claim;
      const Result<std::size_t> room = writer.room();
      ASSERT_EQ(room.has_value(), claim <= put) << put << " " << claim;
      if (room) {
        ASSERT_EQ(*room, kRing - (put - claim));
      } else {
        ASSERT_EQ(room.error().code, ErrorCode::kProtocolViolation);
      }
    }
  }
}

TEST(SharedRing, PositionsThatGoBackAreRefused) {
  Memory memory;
  RingWriter writer(memory.ring());
  RingReader reader(memory.ring());
  writer.put(std::vector<std::byte>(10));
  (void)writer.publish();
  ASSERT_EQ(*reader.available(), 10U);
  reader.skip(10);
  (void)reader.give_back();
  ASSERT_EQ(*writer.room(), kRing);
  memory.ring().counters->written = 9;
  memory.ring().counters->read = 9;
  EXPECT_EQ(reader.available().error().code, ErrorCode::kProtocolViolation);
  EXPECT_EQ(writer.room().error().code, ErrorCode::kProtocolViolation);
}

TEST(SharedRing, ASleeperIsKnockedAtOnce) {
  Memory memory;
  RingWriter writer(memory.ring());
  RingReader reader(memory.ring());
  writer.put(std::vector<std::byte>(1));
  EXPECT_FALSE(writer.publish()) << "nobody sleeps";
  EXPECT_FALSE(reader.sleep()) << "bytes are there";
  ASSERT_EQ(*reader.available(), 1U);
  reader.skip(1);
  EXPECT_FALSE(reader.give_back());
  EXPECT_TRUE(reader.sleep());
  writer.put(std::vector<std::byte>(1));
  EXPECT_TRUE(writer.publish());
  writer.put(std::vector<std::byte>(1));
  EXPECT_FALSE(writer.publish()) << "one knock is enough";
}

TEST(SharedRing, ASleepingWriterIsKnockedAtWhenHalfIsFree) {
  Memory memory;
  RingWriter writer(memory.ring());
  RingReader reader(memory.ring());
  writer.put(std::vector<std::byte>(kRing));
  (void)writer.publish();
  ASSERT_EQ(*writer.room(), 0U);
  EXPECT_TRUE(writer.sleep());
  ASSERT_EQ(*reader.available(), kRing);
  std::size_t knocks = 0;
  for (std::size_t at = 0; at < kRing; ++at) {
    reader.skip(1);
    if (!reader.give_back()) continue;
    ++knocks;
    EXPECT_EQ(at + 1, kRing / 2);
  }
  EXPECT_EQ(knocks, 1U);
}

}  // namespace
}  // namespace sluice::transport::shm
