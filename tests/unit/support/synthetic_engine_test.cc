#include "tests/support/synthetic_engine.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::support {
namespace {

using integration::GenerateOptions;
using integration::KvPlanes;

constexpr std::uint64_t kSeed = 20;

class Ranges final : public integration::PrefillSink {
 public:
  void on_layers_ready(integration::LayerRange layers, integration::TokenRange tokens) override {
    rows += layers.count.count() * tokens.count.count();
  }
  std::uint64_t rows = 0;
};

std::vector<TokenId> prompt(std::size_t count) {
  std::mt19937_64 random(kSeed);
  std::vector<TokenId> tokens;
  for (std::size_t at = 0; at < count; ++at) tokens.emplace_back(static_cast<std::int32_t>(random() % 1000U));
  return tokens;
}

KvPlanes planes_for(const SyntheticEngine& engine, std::size_t tokens) {
  kernels::KvShape shape = engine.description().shape;
  shape.tokens = Tokens(tokens);
  return KvPlanes::allocate(shape).value();
}

std::vector<TokenId> generated(SyntheticEngine& engine) {
  GenerateOptions options;
  options.count = Tokens(8);
  return engine.generate(TokenId(7), options).value().tokens;
}

TEST(SyntheticEngine, RestoredRowsGiveTheTokensOfRecompute) {
  SyntheticEngine sender({});
  SyntheticEngine receiver({});
  const auto tokens = prompt(150);
  KvPlanes planes = planes_for(sender, tokens.size());
  Ranges ranges;
  ASSERT_TRUE(sender.prefill(tokens, planes, ranges, {}));
  EXPECT_EQ(ranges.rows, tokens.size() * sender.description().shape.layers.count());
  const auto at_sender = generated(sender);
  ASSERT_TRUE(receiver.restore(tokens, planes));
  EXPECT_EQ(receiver.wrong_rows(), 0U);
  const auto restored = generated(receiver);
  ASSERT_TRUE(receiver.recompute(tokens, {}));
  EXPECT_EQ(restored, generated(receiver));
  EXPECT_EQ(restored, at_sender);
}

TEST(SyntheticEngine, AnyWrongBitGivesOtherTokens) {
  SyntheticEngine engine({});
  const auto tokens = prompt(70);
  KvPlanes planes = planes_for(engine, tokens.size());
  Ranges ranges;
  ASSERT_TRUE(engine.prefill(tokens, planes, ranges, {}));
  const auto right = generated(engine);
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 64; ++round) {
    const LayerIndex layer(static_cast<std::uint32_t>(random() % engine.description().shape.layers.count()));
    const auto rows = random() % 2 == 0 ? planes.mutable_k_layer(layer) : planes.mutable_v_layer(layer);
    std::byte& victim = rows[random() % rows.size()];
    const auto flip = static_cast<std::byte>(1U << (random() % 8U));
    victim ^= flip;
    ASSERT_TRUE(engine.restore(tokens, planes));
    EXPECT_EQ(engine.wrong_rows(), 1U) << "seed " << kSeed << " round " << round;
    EXPECT_NE(generated(engine), right) << "seed " << kSeed << " round " << round;
    victim ^= flip;
  }
}

TEST(SyntheticEngine, AnotherModelOrPromptGivesOtherTokens) {
  SyntheticEngine engine({});
  SyntheticEngineOptions options;
  options.model_seed = 2;
  SyntheticEngine other(options);
  auto tokens = prompt(40);
  ASSERT_TRUE(engine.recompute(tokens, {}));
  ASSERT_TRUE(other.recompute(tokens, {}));
  const auto right = generated(engine);
  EXPECT_NE(right, generated(other));
  EXPECT_NE(engine.description().model, other.description().model);
  tokens[3] = TokenId(tokens[3].value() + 1);
  ASSERT_TRUE(engine.recompute(tokens, {}));
  EXPECT_NE(right, generated(engine));
}

TEST(SyntheticEngine, PaceIsAskedForAndNeverSleptHere) {
  Duration asked{0};
  SyntheticEngineOptions options;
  options.layer_chunk_time = std::chrono::hours(1);
  options.pass_time = [&asked](Duration span) { asked += span; };
  SyntheticEngine engine(options);
  const auto tokens = prompt(65);  // two chunks
  ASSERT_TRUE(engine.recompute(tokens, {}));
  EXPECT_EQ(asked, std::chrono::hours(2 * 6));
}

TEST(SyntheticEngine, WrongUseIsATypedError) {
  SyntheticEngine engine({});
  const auto tokens = prompt(10);
  KvPlanes planes = planes_for(engine, 5);
  Ranges ranges;
  GenerateOptions options;
  options.count = Tokens(1);
  EXPECT_EQ(engine.generate(TokenId(1), options).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine.prefill(tokens, planes, ranges, {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine.restore(tokens, planes).error().code, ErrorCode::kIncompatibleLayout);
  EXPECT_EQ(engine.recompute({}, {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine.recompute(prompt(9000), {}).error().code, ErrorCode::kPromptTooLong);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(engine.recompute(tokens, stop.get_token()).error().code, ErrorCode::kAborted);
}

}  // namespace
}  // namespace sluice::support
