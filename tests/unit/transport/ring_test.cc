#include "transport/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "transport/lease.h"

namespace sluice::transport {
namespace {

TEST(Ring, TakenSlotsNeverOverlapAndGenerationsGrow) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    auto ring = std::move(Ring::open(Bytes(64 * Ring::kGranule), 16)).value();
    std::vector<Slot> taken;
    std::map<SlotIndex, Generation> last;
    for (int step = 0; step < 2000; ++step) {
      if (random() % 2 == 0 && !taken.empty()) {
        const std::size_t at = random() % taken.size();
        ring->free(taken[at].index, taken[at].generation);
        taken.erase(taken.begin() + static_cast<std::ptrdiff_t>(at));
        continue;
      }
      const Result<Slot> slot = ring->take(Bytes(1 + random() % (20 * Ring::kGranule)));
      if (!slot) {
        ASSERT_EQ(slot.error().code, ErrorCode::kNoSlot);
        continue;
      }
      ASSERT_GT(slot->generation, last[slot->index]);
      last[slot->index] = slot->generation;
      for (const Slot& other : taken) {
        const bool apart = slot->bytes.data() + slot->bytes.size() <= other.bytes.data() ||
                           other.bytes.data() + other.bytes.size() <= slot->bytes.data();
        ASSERT_TRUE(apart);
      }
      taken.push_back(*slot);
      ASSERT_LE(ring->used(), ring->size());
    }
    for (const Slot& slot : taken) ring->free(slot.index, slot.generation);
    EXPECT_TRUE(ring->used().is_zero());
    EXPECT_TRUE(ring->take(ring->size())) << "all holes have joined again";
  }
}

TEST(Ring, WhatCanNeverFitIsAnotherErrorThanWhatDoesNotFitNow) {
  auto ring = std::move(Ring::open(Bytes(4 * Ring::kGranule), 2)).value();
  EXPECT_EQ(ring->take(Bytes(4 * Ring::kGranule + 1)).error().code, ErrorCode::kBadLength);
  EXPECT_EQ(ring->take(Bytes(0)).error().code, ErrorCode::kBadLength);
  ASSERT_TRUE(ring->take(Bytes(1)));
  EXPECT_EQ(ring->take(Bytes(4 * Ring::kGranule)).error().code, ErrorCode::kNoSlot);
  ASSERT_TRUE(ring->take(Bytes(1)));
  EXPECT_EQ(ring->take(Bytes(1)).error().code, ErrorCode::kNoSlot);
  EXPECT_EQ(Ring::open(Bytes(1), 1).error().code, ErrorCode::kInvalidArgument);
}

class Leases : public testing::Test {
 protected:
  void SetUp() override {
    ring_ = std::move(Ring::open(Bytes(4 * Ring::kGranule), 4)).value();
    lease_.unit = UnitKey{RequestId(1), ChunkIndex(2), LayerGroupIndex(3)};
    lease_.part = Part::kRaw;
    lease_.slot = std::move(ring_->take(Bytes(100))).value();
    lease_.deadline = Instant(Duration(1000));
    table_.add(lease_);
    header_.type = MessageType::kData;
    header_.unit = lease_.unit;
    header_.part = lease_.part;
    header_.slot = lease_.slot.index;
    header_.generation = lease_.slot.generation;
    header_.length = Bytes(100);
  }
  ErrorCode begin() {
    const auto place = table_.begin(header_);
    return place ? ErrorCode::kOk : place.error().code;
  }

  std::unique_ptr<Ring> ring_;
  Lease lease_;
  LeaseTable table_;
  FrameHeader header_;
};

TEST_F(Leases, OnlyExactlyWhatWasGrantedIsPlaced) {
  header_.generation = Generation(99);
  EXPECT_EQ(begin(), ErrorCode::kStaleLease);
  header_.generation = lease_.slot.generation;
  header_.slot = SlotIndex(3);
  EXPECT_EQ(begin(), ErrorCode::kStaleLease);
  header_.slot = lease_.slot.index;
  header_.length = Bytes(101);
  EXPECT_EQ(begin(), ErrorCode::kProtocolViolation);
  header_.length = Bytes(0);
  EXPECT_EQ(begin(), ErrorCode::kProtocolViolation);
  header_.length = Bytes(100);
  header_.part = Part::kBase;
  EXPECT_EQ(begin(), ErrorCode::kProtocolViolation);
  header_.part = lease_.part;
  EXPECT_EQ(begin(), ErrorCode::kOk);
  EXPECT_EQ(begin(), ErrorCode::kProtocolViolation) << "two frames for one lease at once";
}

TEST_F(Leases, RevokedWhileFillingStaysInQuarantineUntilTheFabricIsDone) {
  ASSERT_EQ(begin(), ErrorCode::kOk);
  EXPECT_TRUE(table_.revoke(lease_.unit.request).empty());
  EXPECT_EQ(begin(), ErrorCode::kStaleLease);
  const auto ended = table_.end(lease_.slot.index, lease_.slot.generation);
  ASSERT_TRUE(ended);
  EXPECT_TRUE(ended->revoked);
  EXPECT_TRUE(table_.empty());
}

TEST_F(Leases, RevokedOrExpiredBeforeFillingIsFreeAtOnce) {
  EXPECT_TRUE(table_.expire(Instant(Duration(999))).empty());
  EXPECT_EQ(table_.expire(Instant(Duration(1000))).size(), 1U);
  EXPECT_EQ(begin(), ErrorCode::kStaleLease);
  table_.add(lease_);
  EXPECT_EQ(table_.revoke(RequestId(2)).size(), 0U);
  EXPECT_EQ(table_.revoke(lease_.unit.request).size(), 1U);
  EXPECT_FALSE(table_.end(lease_.slot.index, lease_.slot.generation));
}

}  // namespace
}  // namespace sluice::transport
