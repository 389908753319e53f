#include "transport/frame.h"

#include <gtest/gtest.h>

#include <random>

#include "transport/checksum.h"

namespace sluice::transport {
namespace {

FrameHeader sample(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  FrameHeader header;
  header.type = static_cast<MessageType>(random() & 0xFFU);
  header.flags = static_cast<std::uint8_t>(random());
  header.part = Part::kLossless;
  header.epoch = Epoch(random());
  header.unit = UnitKey{RequestId(random()), ChunkIndex(static_cast<std::uint32_t>(random())),
                        LayerGroupIndex(static_cast<std::uint32_t>(random()))};
  header.slot = SlotIndex(static_cast<std::uint32_t>(random()));
  header.length = Bytes(random() & 0xFFFFFFFFU);
  header.generation = Generation(random());
  header.digest = ContentHash(random());
  return header;
}

TEST(Frame, RoundTrips) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const FrameHeader header = sample(seed);
    const Result<FrameHeader> decoded = decode_frame(encode(header));
    ASSERT_TRUE(decoded) << seed;
    EXPECT_EQ(*decoded, header) << seed;
  }
}

TEST(Frame, EveryFlippedBitIsATypedError) {
  const FrameBytes good = encode(sample(1));
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    FrameBytes bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const Result<FrameHeader> decoded = decode_frame(bad);
    ASSERT_FALSE(decoded) << bit;
    const ErrorCode code = decoded.error().code;
    EXPECT_TRUE(code == ErrorCode::kBadMagic || code == ErrorCode::kDigestMismatch) << bit;
  }
}

TEST(Frame, DigestKnowsThePlace) {
  const std::vector<std::byte> payload(100, std::byte{3});
  const FrameHeader header = sample(2);
  const ContentHash digest = payload_digest(header, payload);
  FrameHeader flagged = header;
  flagged.flags ^= kFlagBackToBack;
  EXPECT_EQ(payload_digest(flagged, payload), digest);
  for (int field = 0; field < 6; ++field) {
    FrameHeader moved = header;
    if (field == 0) moved.unit.request = RequestId(header.unit.request.value() + 1);
    if (field == 1) moved.unit.chunk = ChunkIndex(header.unit.chunk.value() + 1);
    if (field == 2) moved.unit.group = LayerGroupIndex(header.unit.group.value() + 1);
    if (field == 3) moved.part = Part::kBase;
    if (field == 4) moved.generation = Generation(header.generation.value() + 1);
    if (field == 5) moved.epoch = Epoch(header.epoch.value() + 1);
    EXPECT_NE(payload_digest(moved, payload), digest) << field;
  }
}

// Source of the values: RFC 3720, B.4.
TEST(Checksum, Crc32cOfThePublishedVectors) {
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0})), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0xFF})), 0x62A8AB43U);
}

}  // namespace
}  // namespace sluice::transport
