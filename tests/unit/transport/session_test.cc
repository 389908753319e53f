// Two endpoints over real loopback TCP.
#include "transport/session.h"

#include <gtest/gtest.h>

#include "tests/unit/transport/rig.h"

namespace sluice::transport::test {
namespace {

constexpr RequestId kRequest{7};

TEST(Session, MovesEveryUnitWhole) {
  Rig rig;
  ASSERT_TRUE(rig.join());
  rig.serve(200, 40'000);
  rig.fetch(200);
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.ended_sends.empty(); }));
  EXPECT_EQ(rig.received[kRequest].size(), 200U);
  EXPECT_EQ(rig.prefill.handler.ended_sends[kRequest], std::vector<Error>{Error{}});
  EXPECT_TRUE(rig.decode.handler.failures.empty());
  EXPECT_EQ(rig.decode.events.count<RequestEnded>(), 1U);
  EXPECT_EQ(rig.prefill.events.count<RequestEnded>(), 1U);
  EXPECT_EQ(rig.decode.events.count<UnitMoved>(), 200U);
  ASSERT_TRUE(rig.run_until([&] { return rig.decode.endpoint->ring_used().is_zero(); }));
}

TEST(Session, RingSmallerThanTheRequestOnlySlowsIt) {
  RigOptions options;
  options.endpoint.ring = Bytes(256U << 10U);
  Rig rig(options);
  ASSERT_TRUE(rig.join());
  rig.serve(50, 60'000);
  rig.fetch(50);
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.ended_sends.empty(); }));
  EXPECT_EQ(rig.received[kRequest].size(), 50U);
  EXPECT_GT(rig.decode.handler.slots_free, 0U);
  EXPECT_TRUE(rig.decode.endpoint->ring_used().is_zero());
}

TEST(Session, WrongModelIsRefusedByName) {
  RigOptions options;
  options.decode_model = 99;
  Rig rig(options);
  EXPECT_FALSE(rig.join());
  EXPECT_EQ(rig.connect_error.code, ErrorCode::kIncompatibleModel);
  EXPECT_EQ(rig.prefill.events.count<HandshakeRefused>(), 1U);
  EXPECT_EQ(rig.decode.events.count<HandshakeRefused>(), 1U);
  EXPECT_TRUE(rig.prefill.handler.up.empty());
  EXPECT_TRUE(rig.decode.handler.up.empty());
}

TEST(Session, NobodyListeningIsUnreachable) {
  Rig rig;
  Error error;
  rig.decode.endpoint->connect("127.0.0.1:1", [&](Result<Session*> session) { error = session.error(); });
  ASSERT_TRUE(rig.run_until([&] { return error.code != ErrorCode::kOk; }));
  EXPECT_EQ(error.code, ErrorCode::kUnreachable);
  error = Error{};
  rig.decode.endpoint->connect("nonsense", [&](Result<Session*> session) { error = session.error(); });
  ASSERT_TRUE(rig.run_until([&] { return error.code != ErrorCode::kOk; }));
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
}

TEST(Session, RejectIsTheTerminalOfTheReceiver) {
  Rig rig;
  ASSERT_TRUE(rig.join());
  rig.prefill.handler.open_hook = [](Session& session, const OpenRequest& request) {
    ASSERT_TRUE(session.reject(request.request, ErrorCode::kNotFound, std::chrono::milliseconds(5)));
  };
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig.run_until([&] { return !rig.decode.handler.failures.empty(); }));
  ASSERT_EQ(rig.decode.handler.failures[kRequest].size(), 1U);
  EXPECT_EQ(rig.decode.handler.failures[kRequest][0].code, ErrorCode::kNotFound);
  EXPECT_TRUE(rig.prefill.handler.ended_sends.empty());
}

TEST(Session, SilentOwnerEndsByTheDeadlineOnBothSides) {
  RigOptions options;
  options.endpoint.heartbeat = std::chrono::milliseconds(20);
  Rig rig(options);
  ASSERT_TRUE(rig.join());
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7, std::chrono::milliseconds(50))));
  ASSERT_TRUE(
      rig.run_until([&] { return !rig.decode.handler.failures.empty() && !rig.prefill.handler.ended_sends.empty(); }));
  EXPECT_EQ(rig.decode.handler.failures[kRequest][0].code, ErrorCode::kDeadlineMissed);
  EXPECT_EQ(rig.prefill.handler.ended_sends[kRequest][0].code, ErrorCode::kDeadlineMissed);
}

TEST(Session, AbortBeforeAcceptEndsTheSender) {
  Rig rig;
  ASSERT_TRUE(rig.join());
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.opens.empty(); }));
  rig.decode_session->abort(kRequest, ErrorCode::kAborted);
  rig.decode_session->abort(kRequest, ErrorCode::kAborted);
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.ended_sends.empty(); }));
  EXPECT_EQ(rig.prefill.handler.ended_sends[kRequest].size(), 1U);
  EXPECT_TRUE(rig.decode.handler.failures.empty());
  EXPECT_EQ(rig.prefill.handler.last->accept(kRequest, OpenAck{}).error().code, ErrorCode::kNotFound);
}

TEST(Session, AbortWithGrantsOutFreesTheirSlots) {
  Rig rig;
  ASSERT_TRUE(rig.join());
  rig.serve(20, 100'000);
  std::vector<GrantToken> withheld;
  rig.prefill.handler.grant_hook = [&](Session&, const GrantToken& token) { withheld.push_back(token); };
  rig.fetch(20);
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig.run_until([&] { return withheld.size() == 20; }));
  EXPECT_FALSE(rig.decode.endpoint->ring_used().is_zero());
  rig.decode_session->abort(kRequest, ErrorCode::kAborted);
  EXPECT_TRUE(rig.decode.endpoint->ring_used().is_zero());
  // What is sent before the abort arrives is late: dropped, not placed, and the session lives on.
  const auto bytes = std::make_shared<std::vector<std::byte>>(100'000);
  Session* prefill = rig.prefill.handler.last;
  for (const GrantToken& token : withheld) EXPECT_TRUE(prefill->send_part(token, *bytes, bytes));
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.ended_sends.empty(); }));
  rig.serve(5, 1000);
  rig.fetch(5);
  ASSERT_TRUE(rig.decode_session->open(Rig::request(8)));
  ASSERT_TRUE(rig.run_until([&] { return rig.received[RequestId(8)].size() == 5; }));
  EXPECT_TRUE(rig.received[kRequest].empty());
}

TEST(Session, FailureAtTheSenderReachesTheReceiverOnce) {
  Rig rig;
  ASSERT_TRUE(rig.join());
  rig.serve(5, 1000);
  rig.prefill.handler.grant_hook = [](Session& session, const GrantToken& token) {
    (void)session.fail(token.unit.request, ErrorCode::kEngineFailed);
  };
  rig.fetch(5);
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7)));
  ASSERT_TRUE(rig.run_until([&] { return !rig.decode.handler.failures.empty(); }));
  ASSERT_EQ(rig.decode.handler.failures[kRequest].size(), 1U);
  EXPECT_EQ(rig.decode.handler.failures[kRequest][0].code, ErrorCode::kEngineFailed);
  EXPECT_TRUE(rig.decode.endpoint->ring_used().is_zero());
}

TEST(Session, LostPeerEndsEveryRequestOnce) {
  Rig rig;
  ASSERT_TRUE(rig.join());
  rig.prefill.handler.open_hook = nullptr;
  for (std::uint64_t id = 1; id <= 5; ++id) ASSERT_TRUE(rig.decode_session->open(Rig::request(id)));
  ASSERT_TRUE(rig.run_until([&] { return rig.prefill.handler.opens.size() == 5; }));
  rig.close(rig.prefill);
  ASSERT_TRUE(rig.run_until([&] { return !rig.decode.handler.downs.empty(); }));
  EXPECT_EQ(rig.decode.handler.failures.size(), 5U);
  for (const auto& [request, errors] : rig.decode.handler.failures) EXPECT_EQ(errors.size(), 1U);
  EXPECT_EQ(rig.prefill.handler.ended_sends.size(), 5U);
}

TEST(Session, AnnounceAndGoawayAreTold) {
  Rig rig;
  ASSERT_TRUE(rig.join());
  Announce announce;
  announce.prefix = {3, 4};
  announce.tokens = {TokenId(9)};
  ASSERT_TRUE(rig.decode_session->announce(announce));
  ASSERT_TRUE(rig.run_until([&] { return !rig.prefill.handler.announces.empty(); }));
  EXPECT_EQ(rig.prefill.handler.announces[0], announce);
  rig.prefill.endpoint->drain();
  ASSERT_TRUE(rig.run_until([&] { return rig.decode.handler.goaways == 1; }));
  EXPECT_EQ(rig.decode_session->open(Rig::request(7)).error().code, ErrorCode::kDraining);
}

TEST(Session, WhoDrainsMayStillOpenWhatItPromised) {
  Rig rig;
  ASSERT_TRUE(rig.join());
  rig.serve(2, 5000);
  rig.fetch(2);
  rig.decode.endpoint->drain();
  ASSERT_TRUE(rig.run_until([&] { return rig.prefill.handler.goaways == 1; }));
  ASSERT_TRUE(rig.decode_session->open(Rig::request(7)));
  EXPECT_TRUE(rig.run_until([&] { return rig.received[RequestId(7)].size() == 2; }));
}

TEST(Session, RoundTripIsMeasured) {
  RigOptions options;
  options.endpoint.heartbeat = std::chrono::milliseconds(5);
  Rig rig(options);
  ASSERT_TRUE(rig.join());
  EXPECT_TRUE(rig.run_until([&] { return rig.decode_session->link().rtt > Duration(0); }));
}

}  // namespace
}  // namespace sluice::transport::test
