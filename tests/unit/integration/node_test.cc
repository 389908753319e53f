// Two nodes in one process over loopback TCP: what a node must never take from a peer, however the peer came by it.
#include "integration/node.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/event_sink.h"
#include "tests/support/synthetic_engine.h"
#include "transport/asio.h"

namespace sluice::integration {
namespace {

using nlohmann::json;

/// A node that others connect to, and one that connects to it. Either may be without an engine.
class NodePair : public testing::Test {
 protected:
  static constexpr std::uint64_t kPromptTokens = 9;

  void open(Engine* owner_engine, Engine* asker_engine) {
    NodeOptions options;
    options.endpoint.listen = "127.0.0.1:0";
    owner_ = made(Node::open(options, {loop_, clock_, events_, owner_engine}));
    options.endpoint.listen.clear();
    options.peers = {owner_->listen_address()};
    asker_ = made(Node::open(options, {loop_, clock_, events_, asker_engine}));
    run_until([this] { return asker_->ready(); });
  }
  void TearDown() override {
    int closed = 0;
    for (Node* node : {asker_.get(), owner_.get()}) node->async_close([&closed] { ++closed; });
    run_until([&closed] { return closed == 2; });
    asker_.reset();
    owner_.reset();
  }
  /// Turns the loop until `done`; the whole test is bounded by ctest's timeout.
  template <typename Done>
  void run_until(Done done) {
    const auto busy = transport::asio::make_work_guard(loop_);
    while (!done()) loop_.run_one();
  }
  json ask(Node& node, const json& body) {
    json answer;
    node.run_request(body, [&answer](int, json result) { answer = std::move(result); });
    run_until([&answer] { return !answer.is_null(); });
    return answer;
  }
  Error announce(const PrefixKey& key, Duration deadline) {
    std::vector<Error> ends;
    asker_->announce(owner_->listen_address(), key, deadline, [&ends](Error error) { ends.push_back(error); });
    run_until([&ends] { return !ends.empty(); });
    EXPECT_EQ(ends.size(), 1U);
    return ends.front();
  }

  std::vector<TokenId> prompt() const {
    std::vector<TokenId> tokens;
    for (std::uint64_t token = 0; token < kPromptTokens; ++token) tokens.emplace_back(static_cast<int>(token) + 1);
    return tokens;
  }
  json body(const std::string& mode, const std::string& policy) const {
    json tokens = json::array();
    for (const TokenId token : prompt()) tokens.push_back(token.value());
    return {{"tokens", tokens}, {"mode", mode}, {"policy", policy}, {"generate", 4U}, {"deadline_ms", 20000U}};
  }
  /// Raw rows of the prompt (without its last token) as `engine` computes them; `wreck` spoils each part's bytes.
  static std::shared_ptr<StoredPrompt> encoded(Engine& engine, std::vector<TokenId> tokens, bool wreck) {
    class Silent final : public PrefillSink {
      void on_layers_ready(LayerRange, TokenRange) override {}
    } silent;
    const ModelDescription& model = engine.description();
    kernels::KvShape shape = model.shape;
    shape.tokens = Tokens(tokens.size());
    KvPlanes planes = KvPlanes::allocate(shape).value();
    EXPECT_TRUE(engine.prefill(tokens, planes, silent, {}).has_value());
    const Geometry geometry = Geometry::make(shape, model.rope, {model.chunk_tokens, Layers(6)}).value();
    auto stored = std::make_shared<StoredPrompt>(StoredPrompt{geometry, std::move(tokens), {}});
    UnitCoder coder = UnitCoder::open().value();
    for (std::size_t place = 0; place < geometry.units().count(); ++place) {
      StoredUnit unit = coder.encode(planes, geometry, geometry.unit_at(RequestId(1), place), {}).value();
      for (StoredPart& part : unit) {
        if (wreck) part.bytes.back() ^= std::byte{1};
      }
      stored->units.push_back(std::make_shared<const StoredUnit>(std::move(unit)));
    }
    return stored;
  }
  std::vector<TokenId> kept() const {
    std::vector<TokenId> tokens = prompt();
    tokens.pop_back();
    return tokens;
  }

  transport::asio::io_context loop_;
  MonotonicClock clock_;
  NullEventSink events_;
  support::SyntheticEngine owner_engine_{{}};
  support::SyntheticEngine asker_engine_{{}};
  std::unique_ptr<Node> owner_;
  std::unique_ptr<Node> asker_;

 private:
  static std::unique_ptr<Node> made(Result<std::unique_ptr<Node>> node) { return std::move(node).value(); }
};

TEST_F(NodePair, PartsThatDoNotDecodeEndInRecomputeWithTheRightTokens) {
  open(&owner_engine_, &asker_engine_);
  const PrefixKey key = prefix_key(owner_engine_.description().model, kept());
  ASSERT_TRUE(owner_->store().put(key, encoded(owner_engine_, kept(), true)).has_value());
  const json right = ask(*asker_, body("recompute", "raw"))["tokens"];
  for (const std::string policy : {"raw", "lossless", "int8", "fixed:base", "sluice"}) {
    const json answer = ask(*asker_, body("reuse", policy));
    EXPECT_EQ(answer["outcome"], "recomputed") << policy << answer.dump();
    EXPECT_EQ(answer["tokens"], right) << policy;
  }
}

TEST_F(NodePair, APolicyWhosePartsThePeerLacksIsToldSoAtOnce) {
  open(&owner_engine_, &asker_engine_);
  const auto stored = encoded(owner_engine_, kept(), false);
  for (auto& unit : stored->units) {
    StoredUnit raw;
    for (const StoredPart& part : *unit) {
      if (part.part == Part::kRaw) raw.push_back(part);
    }
    unit = std::make_shared<const StoredUnit>(std::move(raw));
  }
  ASSERT_TRUE(owner_->store().put(prefix_key(owner_engine_.description().model, kept()), stored).has_value());
  for (const std::string policy : {"int8", "fixed:base+r1"}) {
    const json answer = ask(*asker_, body("reuse", policy));
    EXPECT_EQ(answer["outcome"], "recomputed") << answer.dump();
    EXPECT_EQ(answer["error"], "not_found") << answer.dump();
    EXPECT_EQ(answer["reason"], "part_not_offered") << answer.dump();
  }
}

TEST_F(NodePair, AStoreWithoutAnEngineGivesAndTakesKv) {
  open(&owner_engine_, nullptr);
  const PrefixKey key = prefix_key(owner_engine_.description().model, kept());
  ASSERT_TRUE(asker_->store().put(key, encoded(owner_engine_, kept(), false)).has_value());
  EXPECT_EQ(announce(key, std::chrono::seconds(20)).code, ErrorCode::kOk);
  run_until([&] { return owner_->store().find(key) != nullptr; });
}

TEST_F(NodePair, AnAnnouncedKeyOfAnotherModelIsNotTakenAndItsSenderIsToldInTime) {
  support::SyntheticEngine other({.model_seed = 2});
  open(&owner_engine_, nullptr);
  const PrefixKey foreign = prefix_key(other.description().model, kept());
  ASSERT_TRUE(asker_->store().put(foreign, encoded(other, kept(), false)).has_value());
  EXPECT_EQ(announce(foreign, std::chrono::milliseconds(50)).code, ErrorCode::kDeadlineMissed);
  EXPECT_EQ(owner_->store().prompts(), 0U);
}

TEST_F(NodePair, AnnouncesOfOnePromptEndEachByItsOwnDeadline) {
  support::SyntheticEngine other({.model_seed = 2});
  open(&owner_engine_, nullptr);
  const PrefixKey foreign = prefix_key(other.description().model, kept());
  ASSERT_TRUE(asker_->store().put(foreign, encoded(other, kept(), false)).has_value());
  std::vector<std::string> ends;
  const auto note = [&ends](const std::string& which) {
    return [&ends, which](Error error) {
      EXPECT_EQ(error.code, ErrorCode::kDeadlineMissed);
      ends.push_back(which);
    };
  };
  asker_->announce(owner_->listen_address(), foreign, std::chrono::milliseconds(300), note("later"));
  asker_->announce(owner_->listen_address(), foreign, std::chrono::milliseconds(20), note("sooner"));
  run_until([&ends] { return ends.size() == 2; });
  EXPECT_EQ(ends, (std::vector<std::string>{"sooner", "later"}));
}

TEST_F(NodePair, ARequestToAPeerOfAnotherModelSaysSoAndIsRecomputed) {
  support::SyntheticEngine other({.model_seed = 2});
  NodeOptions options;
  options.endpoint.listen = "127.0.0.1:0";
  owner_ = std::move(Node::open(options, {loop_, clock_, events_, &owner_engine_})).value();
  options.endpoint.listen.clear();
  options.peers = {owner_->listen_address()};
  asker_ = std::move(Node::open(options, {loop_, clock_, events_, &other})).value();
  json answer;
  do {  // until the first greeting was refused, there is just no such peer
    answer = ask(*asker_, body("reuse", "lossless"));
  } while (answer["reason"] == "unreachable");
  EXPECT_EQ(answer["outcome"], "recomputed") << answer.dump();
  EXPECT_EQ(answer["reason"], "incompatible_model") << answer.dump();
}

TEST_F(NodePair, AnAnnouncedPromptOfAnotherShapeIsNotTaken) {
  support::SyntheticEngine other({.layers = Layers(3)});
  open(&owner_engine_, nullptr);
  const PrefixKey key = prefix_key(owner_engine_.description().model, kept());
  ASSERT_TRUE(asker_->store().put(key, encoded(other, kept(), false)).has_value());
  EXPECT_NE(announce(key, std::chrono::milliseconds(200)).code, ErrorCode::kOk);
  EXPECT_EQ(owner_->store().prompts(), 0U);
}

}  // namespace
}  // namespace sluice::integration
