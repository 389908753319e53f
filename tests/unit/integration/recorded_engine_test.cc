#include "integration/engines/recorded/recorded_engine.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/clock.h"
#include "integration/engines/recorded/recording.h"
#include "tests/unit/integration/planes_support.h"

namespace sluice::integration::recorded {
namespace {

class RecordedEngineTest : public testing::Test {
 protected:
  std::unique_ptr<Engine> open(const RecordedEngineOptions& options = {}) {
    return open_recorded_engine(options, kernels::ref_kernels(), clock_).value();
  }
  Recording recording() { return load_recording(kernels::ref_kernels(), {}).value(); }

  static KvPlanes planes_for(const Engine& engine, std::size_t tokens) {
    kernels::KvShape shape = engine.description().shape;
    shape.tokens = Tokens(tokens);
    return KvPlanes::allocate(shape).value();
  }

  ManualClock clock_;
};

TEST_F(RecordedEngineTest, SaysWhatItIs) {
  const std::unique_ptr<Engine> engine = open();
  EXPECT_NE(engine->description().name.find("recorded"), std::string::npos);
  EXPECT_EQ(engine->description().shape.layers, Layers(30));
  EXPECT_EQ(engine->description().rope, (kernels::RopeSpec{kernels::RopeStyle::kPairs, 64, 100000.0}));
}

TEST_F(RecordedEngineTest, TheRecordingIsSmallAndNotTrivial) {
  EXPECT_LE(built_in_container().size(), 4'000'000U);
  const Recording held = recording();
  EXPECT_GE(held.prompt.size(), 150U);
  EXPECT_EQ(held.greedy.size(), 40U);
  for (std::uint32_t layer = 0; layer < 30; ++layer) {
    EXPECT_FALSE(
        std::ranges::all_of(held.planes.k_layer(LayerIndex(layer)), [](auto byte) { return byte == std::byte{0}; }));
  }
}

TEST_F(RecordedEngineTest, EqualRowsGiveTheRecordedAnswerAndHash) {
  const std::unique_ptr<Engine> source = open();
  const std::unique_ptr<Engine> target = open();
  const Recording held = recording();
  const std::vector<TokenId> prompt = source->tokenize(held.text).value();
  EXPECT_EQ(prompt, held.prompt);
  const std::span<const TokenId> body = std::span(prompt).first(prompt.size() - 1);
  KvPlanes planes = planes_for(*source, body.size());
  WritingSink sink;
  ASSERT_TRUE(source->prefill(body, planes, sink, {}).has_value());
  EXPECT_EQ(sink.ready.size(), 30 * ((body.size() + 63) / 64));
  ASSERT_TRUE(target->restore(body, planes).has_value());
  const Generation answer = target->generate(prompt.back(), {Tokens(40), {}, false}).value();
  EXPECT_EQ(answer.tokens, held.greedy);
  EXPECT_EQ(answer.logits_hash, held.logits_hash);
  EXPECT_FALSE(answer.approximate);
  EXPECT_EQ(target->detokenize(answer.tokens).substr(0, 1),
            target->detokenize(std::span(held.greedy).first(1)).substr(0, 1));
}

TEST_F(RecordedEngineTest, OneWrongBitMakesTheAnswerApproximate) {
  const std::unique_ptr<Engine> engine = open();
  const std::vector<TokenId> prompt = recording().prompt;
  const std::span<const TokenId> body = std::span(prompt).first(prompt.size() - 1);
  KvPlanes planes = planes_for(*engine, body.size());
  WritingSink sink;
  ASSERT_TRUE(engine->prefill(body, planes, sink, {}).has_value());
  for (const bool is_k : {true, false}) {
    const auto rows = is_k ? planes.mutable_k_layer(LayerIndex(29)) : planes.mutable_v_layer(LayerIndex(0));
    rows.back() ^= std::byte{1};
    ASSERT_TRUE(engine->restore(body, planes).has_value());
    const Generation answer = engine->generate(prompt.back(), {Tokens(40), {}, false}).value();
    EXPECT_TRUE(answer.approximate);
    EXPECT_EQ(answer.logits_hash, ContentHash(0));
    rows.back() ^= std::byte{1};
  }
}

TEST_F(RecordedEngineTest, WhatWasNotRecordedIsRefused) {
  const std::unique_ptr<Engine> engine = open();
  std::vector<TokenId> prompt = recording().prompt;
  const TokenId last = prompt.back();
  EXPECT_EQ(engine->generate(last, {Tokens(1), {}, false}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->tokenize("another text").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(engine->recompute(prompt, {}).error().code, ErrorCode::kUnsupported) << "the last token has no rows";
  prompt.pop_back();
  ASSERT_TRUE(engine->recompute(prompt, {}).has_value());
  EXPECT_EQ(engine->generate(last, {Tokens(1), {}, true}).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(engine->generate(last, {Tokens(41), {}, false}).error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(engine->generate(last, {Tokens(1), {}, false}).has_value());
  prompt[3] = TokenId(prompt[3].value() + 1);
  EXPECT_EQ(engine->recompute(prompt, {}).error().code, ErrorCode::kUnsupported);
}

TEST_F(RecordedEngineTest, RepetitionsTileTheRowsAndAreApproximate) {
  RecordedEngineOptions options;
  options.repetitions = 5;
  const std::unique_ptr<Engine> engine = open(options);
  const Recording held = recording();
  const std::vector<TokenId> prompt = engine->tokenize(held.text).value();
  const std::size_t once = held.prompt.size() - 1;
  ASSERT_EQ(prompt.size(), 5 * once + 1);
  const std::span<const TokenId> body = std::span(prompt).first(5 * once);
  KvPlanes planes = planes_for(*engine, body.size());
  WritingSink sink;
  ASSERT_TRUE(engine->prefill(body, planes, sink, {}).has_value());
  const std::size_t bytes = once * held.planes.shape().row_bytes().count();
  for (const LayerIndex layer : {LayerIndex(0), LayerIndex(29)}) {
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_TRUE(std::ranges::equal(planes.k_layer(layer).subspan(i * bytes, bytes), held.planes.k_layer(layer)));
      EXPECT_TRUE(std::ranges::equal(planes.v_layer(layer).subspan(i * bytes, bytes), held.planes.v_layer(layer)));
    }
  }
  ASSERT_TRUE(engine->restore(body, planes).has_value());
  EXPECT_TRUE(engine->generate(prompt.back(), {Tokens(8), {}, false}).value().approximate);
}

/// Stops at the first layer it hears of.
class StoppingSink final : public PrefillSink {
 public:
  void on_layers_ready(LayerRange, TokenRange) override { source.request_stop(); }
  std::stop_source source;
};

TEST_F(RecordedEngineTest, AStopEndsAPacedPrefill) {
  RecordedEngineOptions options;
  options.prefill_per_token = std::chrono::nanoseconds(1);
  const std::unique_ptr<Engine> engine = open(options);
  const std::vector<TokenId> prompt = recording().prompt;
  KvPlanes planes = planes_for(*engine, prompt.size());
  StoppingSink sink;
  const std::span<const TokenId> body = std::span(prompt).first(prompt.size() - 1);
  EXPECT_EQ(engine->prefill(body, planes, sink, sink.source.get_token()).error().code, ErrorCode::kAborted);
  EXPECT_EQ(engine->generate(prompt.back(), {Tokens(1), {}, false}).error().code, ErrorCode::kInvalidArgument);
}

TEST(Recording, HalvesThatDisagreeAreRefused) {
  const std::string facts(built_in_facts());
  const auto fault = [&](const std::string& changed) {
    const auto parsed = parse_recording(kernels::ref_kernels(), built_in_container(), changed);
    return parsed ? ErrorCode::kOk : parsed.error().code;
  };
  EXPECT_EQ(fault(facts), ErrorCode::kOk);
  EXPECT_EQ(fault("{}"), ErrorCode::kBadField);
  EXPECT_EQ(fault("[]"), ErrorCode::kBadField);
  EXPECT_EQ(fault(""), ErrorCode::kBadField);
  std::string other_model = facts;
  const std::size_t hash = other_model.find("\"model_hash\": \"") + 15;
  other_model[hash] = other_model[hash] == '0' ? '1' : '0';
  EXPECT_EQ(fault(other_model), ErrorCode::kIncompatibleLayout);
}

}  // namespace
}  // namespace sluice::integration::recorded
