// Requests through a whole node with the synthetic engine, without any peer: bodies that must be taken, and refused.
#include "integration/request_service.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/event_sink.h"
#include "integration/node.h"
#include "tests/support/synthetic_engine.h"
#include "transport/asio.h"

namespace sluice::integration {
namespace {

using nlohmann::json;

/// One node of its own per request: what it answers, once the loop has nothing left to do.
class RequestBody : public testing::Test {
 protected:
  struct Answered {
    int status = 0;
    json body;
    int times = 0;
  };

  static Answered ask(const json& body) {
    transport::asio::io_context loop;
    const MonotonicClock clock;
    NullEventSink events;
    support::SyntheticEngine engine({});
    Result<std::unique_ptr<Node>> node = Node::open({}, {loop, clock, events, &engine});
    Answered answered;
    EXPECT_TRUE(node.has_value());
    if (!node) return answered;
    const auto busy = transport::asio::make_work_guard(loop);
    (*node)->run_request(body, [&](int status, json result) {
      answered.status = status;
      answered.body = std::move(result);
      ++answered.times;
      (*node)->async_close([&loop] { loop.stop(); });
    });
    loop.run();
    return answered;
  }
};

TEST_F(RequestBody, NeedsOnlyAPrompt) {
  const Answered answered = ask({{"tokens", {1, 2, 3}}, {"mode", "recompute"}});
  EXPECT_EQ(answered.status, 200) << answered.body.dump();
  EXPECT_EQ(answered.times, 1);
  EXPECT_EQ(answered.body.value("outcome", ""), "recomputed");
  EXPECT_EQ(answered.body["tokens"].size(), 1U);
}

TEST_F(RequestBody, GeneratesAsManyTokensAsItSays) {
  for (const int count : {1, 2, 7}) {
    const Answered answered = ask({{"tokens", {1, 2, 3}}, {"mode", "recompute"}, {"generate", count}});
    EXPECT_EQ(answered.status, 200) << answered.body.dump();
    EXPECT_EQ(answered.body["tokens"].size(), static_cast<std::size_t>(count));
  }
}

TEST_F(RequestBody, WrongOnesAreRefusedOnceAndSayWhatIsWrong) {
  const json wrong = {json::array(),
                      json::object(),
                      {{"tokens", {1}}},
                      {{"tokens", {1, "two"}}},
                      {{"text", "ab"}, {"mode", "guess"}},
                      {{"text", "ab"}, {"deadline_kind", "late"}},
                      {{"text", "ab"}, {"deadline_ms", 0}},
                      {{"text", "ab"}, {"deadline_ms", "soon"}},
                      {{"text", "ab"}, {"generate", 0}},
                      {{"text", "ab"}, {"generate", -1}},
                      {{"text", "ab"}, {"generate", 1025}},
                      {{"text", "ab"}, {"generate", 1.5}},
                      {{"text", "ab"}, {"score_against", "nobody"}}};
  for (const json& body : wrong) {
    const Answered answered = ask(body);
    EXPECT_EQ(answered.status, 400) << body.dump();
    EXPECT_EQ(answered.times, 1);
    EXPECT_FALSE(answered.body.value("message", "").empty());
  }
}

TEST_F(RequestBody, WithoutAPeerTheEngineComputes) {
  const Answered answered = ask({{"text", "a prompt"}, {"mode", "handover"}, {"generate", 3}});
  EXPECT_EQ(answered.body.value("outcome", ""), "recomputed") << answered.body.dump();
  EXPECT_EQ(answered.body.value("reason", ""), "unreachable");
  EXPECT_EQ(answered.body["tokens"],
            ask({{"text", "a prompt"}, {"mode", "recompute"}, {"generate", 3}}).body["tokens"]);
}

}  // namespace
}  // namespace sluice::integration
