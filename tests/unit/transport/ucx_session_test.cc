// Two endpoints with DATA over UCX active messages and control over loopback TCP.
#include <gtest/gtest.h>

#include "tests/unit/transport/rig.h"
#include "transport/ucx/ucx_fabric.h"

namespace sluice::transport::test {
namespace {

constexpr RequestId kRequest{7};

// The fabrics must outlive the rig's sessions and end on the rig's loop.
class UcxSession : public testing::TestWithParam<bool> {
 protected:
  void open(RigOptions options = {}) {
    ucx::UcxOptions ucx;
    ucx.peer_error_handling = GetParam();
    prefill_data_ = must_open(ucx);
    decode_data_ = must_open(ucx);
    options.prefill_data = prefill_data_.get();
    options.decode_data = decode_data_.get();
    rig_ = std::make_unique<Rig>(loop_, options);
    ASSERT_TRUE(rig_->join());
  }
  void TearDown() override {
    rig_->shut();
    int closed = 0;
    prefill_data_->async_close([&] { ++closed; });
    decode_data_->async_close([&] { ++closed; });
    EXPECT_TRUE(rig_->run_until([&] { return closed == 2; }));
  }
  std::unique_ptr<DataFabric> must_open(const ucx::UcxOptions& options) {
    auto fabric = ucx::open_ucx_fabric(loop_, options);
    SLUICE_ASSERT(fabric.has_value());
    return std::move(fabric).value();
  }

  asio::io_context loop_{1};
  std::unique_ptr<DataFabric> prefill_data_;
  std::unique_ptr<DataFabric> decode_data_;
  std::unique_ptr<Rig> rig_;
};

TEST_P(UcxSession, MovesEveryUnitWhole) {
  open();
  EXPECT_EQ(rig_->decode_session->path().data, "ucx");
  rig_->serve(200, 40'000);
  rig_->fetch(200);
  ASSERT_TRUE(rig_->decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig_->run_until([&] { return !rig_->prefill.handler.ended_sends.empty(); }));
  EXPECT_EQ(rig_->received[kRequest].size(), 200U);
  EXPECT_EQ(rig_->decode.events.count<UnitMoved>(), 200U);
  EXPECT_TRUE(rig_->run_until([&] { return rig_->decode.endpoint->ring_used().is_zero(); }));
}

TEST_P(UcxSession, LargeAndTinyPartsArriveWhole) {
  open();
  for (const std::size_t size : {std::size_t{1}, std::size_t{63}, std::size_t{8191}, std::size_t{3'000'001}}) {
    const RequestId request(size);
    rig_->serve(3, size);
    rig_->fetch(3);
    ASSERT_TRUE(rig_->decode_session->open(Rig::request(size)));
    ASSERT_TRUE(rig_->run_until([&] { return rig_->received[request].size() == 3; })) << size;
  }
}

TEST_P(UcxSession, AbortWithDataInFlightLeavesTheSessionUsable) {
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

TEST_P(UcxSession, LostPeerWithDataInFlightEndsOnce) {
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

INSTANTIATE_TEST_SUITE_P(ErrorModes, UcxSession, testing::Bool(),
                         [](const auto& mode) { return mode.param ? "Peer" : "None"; });

}  // namespace
}  // namespace sluice::transport::test
