// The main promise with a real model: KV that was prefilled in one engine, copied out while it was computed and
// restored in another engine gives the same tokens and the same logits, bit for bit, as computing it there.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "base/clock.h"
#include "integration/engines/llama_cpp/llama_engine.h"
#include "integration/engines/recorded/recording.h"
#include "tests/unit/integration/planes_support.h"

namespace sluice::integration {
namespace {

constexpr const char* kText =
    "The harbour master kept two ledgers. In the first he wrote the name of every ship, its cargo and the hour it came "
    "in; in the second only the weather. When the old pier burned down, both were saved, and for a week the town read "
    "aloud what it had never been told: that on clear nights more ships had left than came. ";

std::filesystem::path model_path() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment
  const char* given = std::getenv("SLUICE_MODEL");
  return given != nullptr && *given != '\0' ? given : SLUICE_TEST_MODEL;
}

class LlamaParity : public testing::Test {
 protected:
  Result<std::unique_ptr<Engine>> try_open(Tokens context) {
    llama_cpp::LlamaEngineOptions options;
    options.model_path = model_path();
    options.context_tokens = context;
    return llama_cpp::open_llama_engine(options, plain_digest, clock_);
  }

  std::unique_ptr<Engine> open() { return try_open(Tokens(1024)).value(); }

  void SetUp() override {
    if (!std::filesystem::exists(model_path())) {
      GTEST_SKIP() << "no model at '" << model_path().string() << "': ./dev setup fetches it, or set SLUICE_MODEL";
    }
    const Result<std::unique_ptr<Engine>> probe = try_open(Tokens(64));
    if (!probe && probe.error().code == ErrorCode::kUnsupported) GTEST_SKIP() << probe.error().where;
  }

  std::vector<TokenId> prompt(Engine& engine, std::size_t count) {
    std::string text;
    while (text.size() < count * 5) text += kText;
    text.resize(count * 5);
    std::vector<TokenId> tokens = engine.tokenize(text).value();
    EXPECT_GE(tokens.size(), count);
    tokens.resize(std::min(tokens.size(), count));
    return tokens;
  }

  static KvPlanes planes_for(const Engine& engine, std::size_t tokens) {
    kernels::KvShape shape = engine.description().shape;
    shape.tokens = Tokens(tokens);
    return KvPlanes::allocate(shape).value();
  }

  MonotonicClock clock_;
};

void copy_side(std::span<const kernels::PlaneView> from, std::span<const kernels::MutablePlaneView> to,
               const kernels::KvShape& shape) {
  const std::size_t vector_bytes = shape.head_dim.count() * kernels::dtype_size(shape.dtype);
  for (std::size_t layer = 0; layer < from.size(); ++layer) {
    for (std::uint64_t row = 0; row < shape.tokens.count() * shape.kv_heads.count(); ++row) {
      const std::uint64_t token = row / shape.kv_heads.count();
      const std::uint64_t head = row % shape.kv_heads.count();
      std::memcpy(to[layer].row(token, head), from[layer].row(token, head), vector_bytes);
    }
  }
}

TEST_F(LlamaParity, RestoredCacheGivesTheTokensAndLogitsOfRecompute) {
  const std::unique_ptr<Engine> source = open();
  const std::unique_ptr<Engine> target = open();
  EXPECT_EQ(source->description().engine_build, target->description().engine_build);
  const std::vector<TokenId> tokens = prompt(*source, 600);
  const std::span<const TokenId> body = std::span(tokens).first(599);
  const GenerateOptions options{Tokens(40), {}, true};

  ASSERT_TRUE(target->recompute(body, {}).has_value());
  const Generation reference = target->generate(tokens.back(), options).value();

  KvPlanes planes = planes_for(*source, body.size());
  WritingSink sink;
  ASSERT_TRUE(source->prefill(body, planes, sink, {}).has_value());
  const Generation own = source->generate(tokens.back(), options).value();

  ASSERT_TRUE(target->restore(body, planes).has_value());
  const Generation restored = target->generate(tokens.back(), options).value();

  EXPECT_EQ(restored.tokens, reference.tokens);
  EXPECT_EQ(restored.logits_hash, reference.logits_hash);
  EXPECT_EQ(own.logits_hash, reference.logits_hash);
  ASSERT_EQ(restored.logits.size(), 40U * source->description().vocabulary);
  EXPECT_TRUE(std::ranges::equal(restored.logits, reference.logits));
  EXPECT_FALSE(source->detokenize(restored.tokens).empty());
}

TEST_F(LlamaParity, UnitsMayComeInAnyOrder) {
  const std::unique_ptr<Engine> engine = open();
  const std::vector<TokenId> tokens = prompt(*engine, 400);
  const std::span<const TokenId> body = std::span(tokens).first(399);
  KvPlanes sent = planes_for(*engine, body.size());
  WritingSink sink;
  ASSERT_TRUE(engine->prefill(body, sent, sink, {}).has_value());
  const Generation reference = engine->generate(tokens.back(), {Tokens(8), {}, false}).value();

  KvPlanes received = planes_for(*engine, body.size());
  for (auto unit = sink.ready.rbegin(); unit != sink.ready.rend(); ++unit) {
    const KvSlice from = sent.slice(unit->second, unit->first);
    const MutableKvSlice to = received.mutable_slice(unit->second, unit->first);
    copy_side(from.view().k, to.view().k, from.view().shape);
    copy_side(from.view().v, to.view().v, from.view().shape);
  }
  ASSERT_TRUE(engine->restore(body, received).has_value());
  const Generation restored = engine->generate(tokens.back(), {Tokens(8), {}, false}).value();
  EXPECT_EQ(restored.tokens, reference.tokens);
  EXPECT_EQ(restored.logits_hash, reference.logits_hash);
}

TEST_F(LlamaParity, APrefixOfWholeChunksIsRestoredAlone) {
  const std::unique_ptr<Engine> engine = open();
  const std::vector<TokenId> tokens = prompt(*engine, 600);
  const std::span<const TokenId> prefix = std::span(tokens).first(512);
  KvPlanes planes = planes_for(*engine, 599);
  WritingSink sink;
  ASSERT_TRUE(engine->prefill(std::span(tokens).first(599), planes, sink, {}).has_value());
  ASSERT_TRUE(engine->restore(prefix, planes).has_value());
  const Generation restored = engine->generate(tokens[512], {Tokens(8), {}, false}).value();
  ASSERT_TRUE(engine->recompute(prefix, {}).has_value());
  const Generation reference = engine->generate(tokens[512], {Tokens(8), {}, false}).value();
  EXPECT_EQ(restored.logits_hash, reference.logits_hash);
}

TEST_F(LlamaParity, PrefillAnnouncesEveryLayerOfEveryChunkOnceAndInOrder) {
  const std::unique_ptr<Engine> engine = open();
  const std::vector<TokenId> tokens = prompt(*engine, 300);
  KvPlanes planes = planes_for(*engine, tokens.size());
  WritingSink sink;
  ASSERT_TRUE(engine->prefill(tokens, planes, sink, {}).has_value());
  const auto layers = static_cast<std::size_t>(engine->description().shape.layers.count());
  ASSERT_EQ(sink.ready.size(), 2 * layers);
  for (std::size_t i = 0; i < sink.ready.size(); ++i) {
    const bool is_second = i >= layers;
    EXPECT_EQ(sink.ready[i].first, (LayerRange{LayerIndex(static_cast<std::uint32_t>(i % layers)), Layers(1)}));
    EXPECT_EQ(sink.ready[i].second, (TokenRange{TokenIndex(is_second ? 256 : 0), Tokens(is_second ? 44 : 256)}));
  }
}

TEST_F(LlamaParity, TeacherForcingFollowsTheGivenTokens) {
  const std::unique_ptr<Engine> engine = open();
  const std::vector<TokenId> tokens = prompt(*engine, 100);
  const std::span<const TokenId> body = std::span(tokens).first(59);
  const auto run = [&](std::span<const TokenId> forced) {
    EXPECT_TRUE(engine->recompute(body, {}).has_value());
    return engine->generate(tokens[59], {Tokens(10), forced, false}).value();
  };
  const Generation greedy = run({});
  EXPECT_EQ(run(greedy.tokens).logits_hash, greedy.logits_hash);
  const std::vector<TokenId> others(10, TokenId(greedy.tokens.front().value() + 1));
  const Generation forced = run(others);
  EXPECT_EQ(forced.tokens.front(), greedy.tokens.front());
  EXPECT_NE(forced.logits_hash, greedy.logits_hash);
}

TEST_F(LlamaParity, WrongUseIsATypedError) {
  const std::unique_ptr<Engine> engine = open();
  const std::vector<TokenId> tokens = prompt(*engine, 40);
  EXPECT_EQ(engine->generate(tokens[0], {Tokens(1), {}, false}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->recompute({}, {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->recompute(std::vector<TokenId>(1025, TokenId(1)), {}).error().code, ErrorCode::kPromptTooLong);
  EXPECT_EQ(engine->recompute(std::vector<TokenId>{TokenId(-1)}, {}).error().code, ErrorCode::kInvalidArgument);
  kernels::KvShape shape = engine->description().shape;
  shape.tokens = Tokens(40);
  shape.kv_heads = Heads(4);
  KvPlanes wrong = KvPlanes::allocate(shape).value();
  EXPECT_EQ(engine->restore(tokens, wrong).error().code, ErrorCode::kIncompatibleLayout);
  WritingSink sink;
  EXPECT_EQ(engine->prefill(tokens, wrong, sink, {}).error().code, ErrorCode::kInvalidArgument);
}

/// Asks for a stop at the first layer it hears of.
class StoppingSink final : public PrefillSink {
 public:
  void on_layers_ready(LayerRange, TokenRange) override { source.request_stop(); }
  std::stop_source source;
};

TEST_F(LlamaParity, AStoppedPrefillLeavesAnEmptyCacheAndAnEngineThatWorks) {
  const std::unique_ptr<Engine> engine = open();
  const std::vector<TokenId> tokens = prompt(*engine, 300);
  KvPlanes planes = planes_for(*engine, tokens.size());
  StoppingSink sink;
  EXPECT_EQ(engine->prefill(tokens, planes, sink, sink.source.get_token()).error().code, ErrorCode::kAborted);
  EXPECT_EQ(engine->generate(tokens[0], {Tokens(1), {}, false}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(engine->recompute(std::span(tokens).first(30), {}).has_value());
  EXPECT_TRUE(engine->generate(tokens[30], {Tokens(1), {}, false}).has_value());
}

TEST_F(LlamaParity, TheRecordingIsWhatTheModelMakes) {
  const kernels::KernelTable& kernels = kernels::ref_kernels();
  const recorded::Recording held = recorded::load_recording(kernels, {}).value();
  llama_cpp::LlamaEngineOptions options;
  options.model_path = model_path();
  options.chunk_tokens = held.description.chunk_tokens;
  const std::unique_ptr<Engine> engine = llama_cpp::open_llama_engine(options, *kernels.digest, clock_).value();
  if (engine->description().model != held.description.model) GTEST_SKIP() << "recorded with another model";
  if (engine->description().engine_build != held.description.engine_build) {
    GTEST_SKIP() << "recorded with another build of llama.cpp: the last bits differ";
  }
  EXPECT_EQ(engine->tokenize(held.text).value(), held.prompt);
  const std::span<const TokenId> body = std::span(held.prompt).first(held.prompt.size() - 1);
  KvPlanes planes = planes_for(*engine, body.size());
  WritingSink sink;
  ASSERT_TRUE(engine->prefill(body, planes, sink, {}).has_value());
  for (std::uint32_t layer = 0; layer < planes.shape().layers.count(); ++layer) {
    EXPECT_TRUE(std::ranges::equal(planes.k_layer(LayerIndex(layer)), held.planes.k_layer(LayerIndex(layer)))) << layer;
    EXPECT_TRUE(std::ranges::equal(planes.v_layer(LayerIndex(layer)), held.planes.v_layer(LayerIndex(layer)))) << layer;
  }
  const Generation answer = engine->generate(held.prompt.back(), {Tokens(40), {}, false}).value();
  EXPECT_EQ(answer.tokens, held.greedy);
  EXPECT_EQ(answer.logits_hash, held.logits_hash);
}

TEST(LlamaEngine, AMissingModelIsATypedError) {
  const MonotonicClock clock;
  llama_cpp::LlamaEngineOptions options;
  options.model_path = "/nonexistent/model.gguf";
  const ErrorCode code = llama_cpp::open_llama_engine(options, plain_digest, clock).error().code;
  EXPECT_TRUE(code == ErrorCode::kModelMissing || code == ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace sluice::integration
