// A peer that is greeted and then lies: DATA frames for leases that it was not given, that have ended, or that it has
// used already. A lease is an entry of the receiver's own table, named by slot and generation; what is on the wire is
// no right but a claim, checked field by field before a byte is placed. None may be given memory, and what the peer was
// truly granted must still arrive whole.
#include <gtest/gtest.h>

#include <optional>

#include "base/random.h"
#include "tests/unit/transport/rig.h"
#include "tests/unit/transport/tapped_fabric.h"

namespace sluice::transport::test {
namespace {

constexpr std::uint64_t kForgeriesPerFrame = 500;
constexpr std::size_t kPartSize = 4'000;

/// What the attacker knows, and what came of it.
struct Attack {
  Random random{1};
  FrameSink* session = nullptr;
  std::vector<FrameHeader> used;
  std::uint64_t forged = 0;
  std::uint64_t replayed = 0;
  std::uint64_t accepted = 0;

  void present(const FrameHeader& header, std::uint64_t& counter) {
    ++counter;
    const Result<std::span<std::byte>> place = session->place(header);
    if (place && !place->empty()) ++accepted;
  }

  /// Changes at least one field that a lease fixes.
  FrameHeader forgery_of(FrameHeader header) {
    switch (random.below(8)) {
      case 0:
        header.slot = SlotIndex(header.slot.value() ^ static_cast<std::uint32_t>(1 + random.below(63)));
        break;
      case 1:
        header.generation = Generation(header.generation.value() + 1 + random.below(3));
        break;
      case 2:
        header.generation = Generation(random.below(header.generation.value() + 1));
        if (header.generation.value() > 0) header.generation = Generation(header.generation.value() - 1);
        header.unit.chunk = ChunkIndex(header.unit.chunk.value() + 1000);
        break;
      case 3:
        header.unit.chunk = ChunkIndex(header.unit.chunk.value() + 1 + static_cast<std::uint32_t>(random.below(3)));
        break;
      case 4:
        header.unit.request = RequestId(header.unit.request.value() + 1 + random.below(3));
        break;
      case 5:
        header.part = Part::kRaw;
        break;
      case 6:
        header.length = Bytes(random.below(2) == 0 ? 0 : kPartSize + 1 + random.below(1U << 20U));
        break;
      default:
        header.epoch = Epoch(header.epoch.value() + 1 + random.below(3));
    }
    return header;
  }

  void replay_some() {
    for (std::size_t count = 0; count < 20 && !used.empty(); ++count)
      present(used[random.below(used.size())], replayed);
  }
};

class ForgingSink final : public FrameSink {
 public:
  ForgingSink(FrameSink& session, Attack& attack) : session_(session), attack_(attack) { attack_.session = &session; }
  Result<std::span<std::byte>> place(const FrameHeader& header) override {
    if (header.type == MessageType::kData) {
      attack_.replay_some();
      for (std::uint64_t count = 0; count < kForgeriesPerFrame; ++count)
        attack_.present(attack_.forgery_of(header), attack_.forged);
    }
    return session_.place(header);
  }
  void on_frame(const FrameHeader& header, std::span<const std::byte> payload) override {
    session_.on_frame(header, payload);
    if (header.type != MessageType::kData) return;
    attack_.used.push_back(header);
    attack_.present(header, attack_.replayed);
  }
  void on_dropped(const FrameHeader& header) override { session_.on_dropped(header); }
  void on_progress(Bytes size) override { session_.on_progress(size); }
  void on_closed(Error error) override { session_.on_closed(error); }

 private:
  FrameSink& session_;
  Attack& attack_;
};

RigOptions under(Attack& attack) {
  RigOptions options;
  options.wrap_decode_stream = [&attack](std::unique_ptr<StreamFabric> fabric) {
    const Tap tap = [&attack](FrameSink& session) -> std::unique_ptr<FrameSink> {
      return std::make_unique<ForgingSink>(session, attack);
    };
    return std::unique_ptr<StreamFabric>(std::make_unique<TappedFabric>(std::move(fabric), tap));
  };
  return options;
}

TEST(LeaseAttack, ForgedAndReplayedLeasesAreNeverGivenMemory) {
  Attack attack;
  Rig rig(under(attack));
  ASSERT_TRUE(rig.join());
  rig.serve(100, kPartSize);
  rig.fetch(100);
  for (std::uint64_t request = 1; request <= 3; ++request) {
    ASSERT_TRUE(rig.decode_session->open(Rig::request(request)));
    ASSERT_TRUE(rig.run_until([&] { return rig.prefill.handler.ended_sends.contains(RequestId(request)); }));
    EXPECT_EQ(rig.received[RequestId(request)].size(), 100U);
    attack.replay_some();  // of a request that has ended
  }
  EXPECT_EQ(attack.accepted, 0U);
  EXPECT_GE(attack.forged, 100'000U);
  EXPECT_GE(attack.replayed, 5'000U);
  EXPECT_TRUE(rig.decode.endpoint->ring_used().is_zero());
  std::printf("forged %llu, replayed %llu, accepted %llu\n", static_cast<unsigned long long>(attack.forged),
              static_cast<unsigned long long>(attack.replayed), static_cast<unsigned long long>(attack.accepted));
}

TEST(LeaseAttack, AnExpiredLeaseIsNeverGivenMemory) {
  Attack attack;
  Rig rig(under(attack));
  ASSERT_TRUE(rig.join());
  rig.serve(20, kPartSize);
  rig.fetch(20);
  rig.prefill.handler.grant_hook = {};  // the attacker keeps its grants until they have run out
  ASSERT_TRUE(rig.decode_session->open(Rig::request(1, std::chrono::milliseconds(50))));
  ASSERT_TRUE(rig.run_until([&] { return rig.decode.handler.failures.contains(RequestId(1)); }));
  EXPECT_EQ(rig.decode.handler.failures[RequestId(1)][0].code, ErrorCode::kDeadlineMissed);
  ASSERT_EQ(rig.prefill.handler.grants.size(), 20U);
  std::uint64_t expired = 0;
  for (const GrantToken& token : rig.prefill.handler.grants) {
    FrameHeader header;
    header.type = MessageType::kData;
    header.part = token.part;
    header.epoch = rig.decode_session->remote().identity.epoch;
    header.unit = token.unit;
    header.slot = token.slot;
    header.generation = token.generation;
    header.length = Bytes(kPartSize);
    attack.present(header, expired);
  }
  EXPECT_EQ(expired, 20U);
  EXPECT_EQ(attack.accepted, 0U);
  EXPECT_EQ(rig.decode.handler.parts, 0U);
  EXPECT_TRUE(rig.decode.endpoint->ring_used().is_zero());
}

}  // namespace
}  // namespace sluice::transport::test
