#include "tests/unit/transport/data_session.h"

namespace sluice::transport::test {
namespace {

constexpr RequestId kRequest{7};

TEST_P(DataSession, MovesEveryUnitWhole) {
  open();
  EXPECT_EQ(rig_->decode_session->path().data, decode_data_->name());
  EXPECT_EQ(rig_->prefill.handler.last->path().data, prefill_data_->name());
  rig_->serve(200, 40'000);
  rig_->fetch(200);
  ASSERT_TRUE(rig_->decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig_->run_until([&] { return !rig_->prefill.handler.ended_sends.empty(); }));
  EXPECT_EQ(rig_->received[kRequest].size(), 200U);
  EXPECT_EQ(rig_->decode.events.count<UnitMoved>(), 200U);
  EXPECT_TRUE(rig_->run_until([&] { return rig_->decode.endpoint->ring_used().is_zero(); }));
}

TEST_P(DataSession, LargeAndTinyPartsArriveWhole) {
  open();
  for (const std::size_t size : {std::size_t{1}, std::size_t{63}, std::size_t{8191}, std::size_t{3'000'001}}) {
    const RequestId request(size);
    rig_->serve(3, size);
    rig_->fetch(3);
    ASSERT_TRUE(rig_->decode_session->open(Rig::request(size)));
    ASSERT_TRUE(rig_->run_until([&] { return rig_->received[request].size() == 3; })) << size;
  }
}

TEST_P(DataSession, AbortWithDataInFlightLeavesTheSessionUsable) {
  open();
  rig_->serve(40, 500'000);
  rig_->fetch(40);
  rig_->decode.handler.part_hook = [](Session& session, UnitKey unit, Part, SlotHold) {
    session.abort(unit.request, ErrorCode::kAborted);
  };
  ASSERT_TRUE(rig_->decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig_->run_until([&] { return !rig_->prefill.handler.ended_sends.empty(); }));
  EXPECT_EQ(rig_->prefill.handler.ended_sends[kRequest].size(), 1U);
  rig_->wanted.clear();
  rig_->serve(5, 1000);
  rig_->fetch(5);
  ASSERT_TRUE(rig_->decode_session->open(Rig::request(8)));
  ASSERT_TRUE(rig_->run_until([&] { return rig_->received[RequestId(8)].size() == 5; }));
  EXPECT_TRUE(rig_->run_until([&] { return rig_->decode.endpoint->ring_used().is_zero(); }));
}

TEST_P(DataSession, LostPeerWithDataInFlightEndsOnce) {
  open();
  rig_->serve(40, 500'000);
  rig_->fetch(40);
  bool closed = false;
  rig_->decode.handler.part_hook = [&](Session&, UnitKey, Part, SlotHold) {
    if (!closed) rig_->prefill.handler.last->close(Error{ErrorCode::kIo, 0, "test"});
    closed = true;
  };
  ASSERT_TRUE(rig_->decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig_->run_until([&] { return !rig_->decode.handler.downs.empty(); }));
  EXPECT_EQ(rig_->decode.handler.failures[kRequest].size(), 1U);
  EXPECT_TRUE(rig_->run_until([&] { return !rig_->prefill.handler.downs.empty(); }));
  EXPECT_EQ(rig_->prefill.handler.ended_sends[kRequest].size(), 1U);
  EXPECT_TRUE(rig_->run_until([&] { return rig_->decode.endpoint->ring_used().is_zero(); }));
}

}  // namespace
}  // namespace sluice::transport::test
