// Laws of the hot path: once warm, encoding, decoding and the prediction of sizes allocate nothing, at any level, with
// and without a profile.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>

#include "codec/decoder.h"
#include "codec/encoder.h"
#include "codec/rate.h"
#include "tests/unit/codec/paged_unit.h"
#include "tests/unit/codec/tiny_profile.h"

namespace {
std::atomic<std::size_t> allocations{0};
}  // namespace

// Counted for the whole program; tests look at differences only.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace sluice::codec {
namespace {

using Bytestring = std::vector<std::byte>;

constexpr int kWarmUp = 2;
constexpr int kCounted = 3;

/// Allocations of `once` when it was called before.
template <typename Once>
std::size_t count_when_warm(Once once) {
  for (int i = 0; i < kWarmUp; ++i) once();
  const std::size_t before = allocations;
  for (int i = 0; i < kCounted; ++i) once();
  return allocations - before;
}

class SteadyState : public testing::TestWithParam<kernels::KernelTable> {
 protected:
  static kernels::KvShape shape_of(kernels::DType dtype) {
    return {.layers = Layers(2), .tokens = Tokens(64), .kv_heads = Heads(2), .head_dim = HeadDim(16), .dtype = dtype};
  }
  static constexpr UnitContext kContext{
      .rope = {}, .first_position = TokenIndex(0), .request_tokens = Tokens(64), .first_layer = LayerIndex(0)};
};

TEST_P(SteadyState, PartsThatStandAlone) {
  for (const kernels::DType dtype : {kernels::DType::kF16, kernels::DType::kBf16, kernels::DType::kE4m3}) {
    PagedUnit unit(shape_of(dtype), {});
    fill_like_cache(unit, 1);
    PagedUnit back(unit.shape(), {});
    Encoder encoder = *Encoder::open(GetParam(), {});
    Decoder decoder = *Decoder::open(GetParam());
    Bytestring out(Encoder::max_encoded_size(unit.shape(), Part::kInt8).count() +
                   Encoder::max_encoded_size(unit.shape(), Part::kLossless).count());
    for (const auto encode : {&Encoder::encode_raw, &Encoder::encode_lossless, &Encoder::encode_int8}) {
      const std::size_t count = count_when_warm([&] {
        const Bytes size = *(encoder.*encode)(unit.view(), kContext, out);
        const std::array<std::span<const std::byte>, 1> frames{std::span(out).first(size.count())};
        ASSERT_TRUE(decoder.decode(frames, unit.shape(), kContext, back.writable()));
      });
      EXPECT_EQ(count, 0U) << static_cast<int>(dtype);
    }
  }
}

TEST_P(SteadyState, NestedStagesAndTheirPrediction) {
  PagedUnit unit(shape_of(kernels::DType::kF16), {});
  fill_like_cache(unit, 1);
  for (int tier = 0; tier <= 3; ++tier) {
    TinyProfile tiny{.tier = static_cast<Tier>(std::max(tier, 1))};
    if (tier == 3) tiny.layers_back = 1, tiny.intra_every = 2;
    const Profile profile = *Profile::parse(GetParam(), *write_profile(GetParam(), tiny_contents(tiny)));
    const Profile* const known = tier == 0 ? nullptr : &profile;
    PagedUnit back(unit.shape(), {});
    Encoder encoder = *Encoder::open(GetParam(), {.profile = known});
    Decoder decoder = *Decoder::open(GetParam(), known);
    RatePredictor predictor = *RatePredictor::open(GetParam(), {.profile = known});
    Bytestring out(Encoder::max_nested_size(unit.shape()).count());
    const std::size_t coding = count_when_warm([&] {
      const EncodedUnit encoded = *encoder.encode(unit.view(), kContext, out);
      std::array<std::span<const std::byte>, kNestedStages> frames;
      for (std::size_t i = 0; i < encoded.stages; ++i) {
        frames[i] = std::span(out).subspan(encoded.all[i].offset.count(), encoded.all[i].size.count());
      }
      ASSERT_TRUE(decoder.decode(std::span(frames).first(encoded.stages), unit.shape(), kContext, back.writable()));
    });
    EXPECT_EQ(coding, 0U) << "tier " << tier;
    const std::size_t prediction = count_when_warm([&] {
      ASSERT_TRUE(predictor.measure(unit.view(), kContext));
      const std::size_t levels = known == nullptr ? 1 : known->contents().levels.size();
      for (std::size_t level = 0; level < levels; ++level) ASSERT_GT(predictor.stages(level).parts()[0], Bytes(0));
      ASSERT_GT(predictor.lossless(), Bytes(0));
    });
    EXPECT_EQ(prediction, 0U) << "tier " << tier;
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, SteadyState, testing::ValuesIn(kernels::available_kernels()),
                         [](const auto& table) { return std::string(table.param.name); });

}  // namespace
}  // namespace sluice::codec
