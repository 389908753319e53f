// Encode and decode speed of every part on synthetic rows with the statistics of a cache, against a copy of the same
// rows. Figures are bytes of raw KV per second on one core. Run: build/tests/bench/bench_codec
#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "codec/coefficient_class.h"
#include "codec/decoder.h"
#include "codec/encoder.h"
#include "codec/profile_signal.h"
#include "tests/bench/timed_table.h"
#include "tests/unit/codec/paged_unit.h"
#include "tests/unit/codec/tiny_profile.h"

namespace sluice::codec {
namespace {

// SmolLM2-135M: 6 layers of one 256-token chunk, fp16.
constexpr kernels::KvShape kShape{
    .layers = Layers(6), .tokens = Tokens(256), .kv_heads = Heads(3), .head_dim = HeadDim(64)};

// A Llama of 8 billion parameters: 32 layers of the same chunk, 32 MiB. Out of every cache.
constexpr kernels::KvShape kLargeShape{
    .layers = Layers(32), .tokens = Tokens(256), .kv_heads = Heads(8), .head_dim = HeadDim(128)};

kernels::RopeSpec rope_of(const kernels::KvShape& shape) {
  return {.style = kernels::RopeStyle::kPairs,
          .dims = static_cast<std::uint32_t>(shape.head_dim.count()),
          .base = 100000.0};
}

// A made-up profile of that tier for the small shape, and rows that it fits.
std::unique_ptr<Profile> make_profile(Tier tier) {
  TinyProfile tiny{.tier = tier,
                   .layers = kShape.layers,
                   .kv_heads = kShape.kv_heads,
                   .head_dim = kShape.head_dim,
                   .rope = rope_of(kShape)};
  if (tier == Tier::kPredicted) tiny.layers_back = 2, tiny.intra_every = 8;
  ProfileContents contents = tiny_contents(tiny);
  // Weak predictions, so that values stay what the classes expect.
  for (float& scale : contents.predictor_scales) scale = 0.02F;
  const kernels::KernelTable& table = kernels::available_kernels().front();
  return std::make_unique<Profile>(*Profile::parse(table, *write_profile(table, contents)));
}

// T1 of SmolLM2-135M as calibrated, integration/profiles/.
std::unique_ptr<Profile> shipped_profile() {
  std::ifstream file(SLUICE_SHIPPED_PROFILE, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  return std::make_unique<Profile>(
      *Profile::parse(kernels::available_kernels().front(), std::as_bytes(std::span<const char>(bytes))));
}

// Rows whose coefficients have the spreads that the entropy classes of a level stand for, all tokens being of the class
// that needs no scale. Real rows cost more: other tokens of theirs have finer steps.
void fill_as_expected(const PagedUnit& unit, const Profile& profile, std::size_t level, const UnitContext& context) {
  const kernels::KernelTable& table = kernels::available_kernels().front();
  const ProfileContents& contents = profile.contents();
  const std::size_t width = contents.width(), tokens = unit.shape().tokens.count();
  const auto group = static_cast<std::size_t>(-contents.lowest_class);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  ProfileSignal signal(table, profile);
  kernels::RopeAngles angles;
  kernels::fill_rope_angles(context.rope, context.first_position.value(), tokens, angles);
  std::vector<float> y(width * tokens), u(width * tokens), scratch(2 * kernels::kRestoreStrip * width);
  for (std::size_t stream = 0; stream < 2 * unit.shape().layers.count(); ++stream) {
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::uint8_t name = profile.classes(level, 0, stream)[group * width + i / tokens];
      const std::size_t spread = name < kClasses        ? name % kSpreads
                                 : name == kSilentClass ? 0
                                                        : kFirstWideSpread + (name - kClasses) % kWideSpreads;
      y[i] = contents.levels[level].step * std::exp2(-4.5F + static_cast<float>(spread) / 4) * normal(random);
    }
    signal.inverse({stream, tokens}, y, u);
    const kernels::MutableUnitView view = unit.writable();
    table.restore({.values = u,
                   .stride = tokens,
                   .scales = signal.inverse_weights(stream),
                   .means = signal.means(stream),
                   .rope = &context.rope,
                   .angles = stream % 2 == 0 ? &angles : nullptr,
                   .range = {0, tokens}},
                  unit.shape(), (stream % 2 == 0 ? view.k : view.v)[stream / 2], scratch);
  }
}

struct Fixture {
  kernels::KvShape shape;
  std::unique_ptr<Profile> profile;
  PagedUnit unit{shape, {.block_tokens = 256, .offset = 0}};
  PagedUnit target{shape, {.block_tokens = 256, .offset = 0}};
  UnitContext context{.rope = rope_of(shape), .first_position = TokenIndex(256), .request_tokens = Tokens(4096)};
  const kernels::KernelTable& table;
  Encoder encoder = *Encoder::open(table, {.profile = profile.get()});
  Decoder decoder = *Decoder::open(table, profile.get());
  std::vector<std::byte> out = std::vector<std::byte>(Encoder::max_nested_size(shape).count());

  explicit Fixture(const kernels::KernelTable& kernels) : Fixture(kShape, kernels) {}
  explicit Fixture(const kernels::KvShape& of = kShape,
                   const kernels::KernelTable& kernels = kernels::available_kernels().front())
      : shape(of), table(kernels) {
    fill_like_cache(unit, 1);
  }
  explicit Fixture(Tier tier)
      : shape(kShape), profile(make_profile(tier)), table(kernels::available_kernels().front()) {
    fill_normal(unit, 1);
  }

  explicit Fixture(std::string_view shipped_level)
      : shape(kShape),
        profile(shipped_profile()),
        table(kernels::available_kernels().front()),
        encoder(*Encoder::open(table, {.profile = profile.get(), .level = *profile->find_level(shipped_level)})) {
    context.rope = profile->contents().rope;
    fill_as_expected(unit, *profile, *profile->find_level(shipped_level), context);
  }

  Result<Bytes> encode(Part part) {
    switch (part) {
      case Part::kRaw:
        return encoder.encode_raw(unit.view(), context, out);
      case Part::kLossless:
        return encoder.encode_lossless(unit.view(), context, out);
      case Part::kInt8:
        return encoder.encode_int8(unit.view(), context, out);
      default:
        return encoder.encode(unit.view(), context, out)->total();
    }
  }
};

void count(benchmark::State& state, const kernels::KvShape& shape, Bytes coded) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * shape.raw_bytes().count()));
  state.counters["bits_per_value"] =
      8.0 * static_cast<double>(coded.count()) / (static_cast<double>(shape.raw_bytes().count()) / 2);
}

void copy_rows(benchmark::State& state, const kernels::KvShape& shape) {
  Fixture fixture(shape);
  const std::vector<std::byte> rows = fixture.unit.bytes();
  std::vector<std::byte> target(rows.size());
  for (auto _ : state) {
    std::memcpy(target.data(), rows.data(), rows.size());
    benchmark::DoNotOptimize(target.data());
    benchmark::ClobberMemory();
  }
  count(state, shape, shape.raw_bytes());
}

void encode_part(benchmark::State& state, Part part) {
  Fixture fixture;
  Bytes size;
  for (auto _ : state) size = *fixture.encode(part);
  count(state, kShape, size);
}

void decode_part(benchmark::State& state, Part part) {
  Fixture fixture;
  const Bytes size = *fixture.encode(part);
  const std::span<const std::byte> frame = std::span<const std::byte>(fixture.out).first(size.count());
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        fixture.decoder.decode({&frame, 1}, kShape, fixture.context, fixture.target.writable()).has_value());
  }
  count(state, kShape, size);
}

void encode_nested(benchmark::State& state, Fixture& fixture) {
  Bytes size = *fixture.encode(Part::kBase);  // scratch memory grows once
  for (auto _ : state) size = *fixture.encode(Part::kBase);
  count(state, fixture.shape, size);
}

void decode_nested(benchmark::State& state, Fixture& fixture, std::int64_t stages) {
  const EncodedUnit encoded = *fixture.encoder.encode(fixture.unit.view(), fixture.context, fixture.out);
  std::vector<std::span<const std::byte>> frames;
  Bytes size;
  for (std::int64_t stage = 0; stage < stages; ++stage) {
    const EncodedPart& part = encoded.parts()[static_cast<std::size_t>(stage)];
    frames.push_back(std::span<const std::byte>(fixture.out).subspan(part.offset.count(), part.size.count()));
    size += part.size;
  }
  const auto decode = [&] {
    benchmark::DoNotOptimize(
        fixture.decoder.decode(frames, fixture.shape, fixture.context, fixture.target.writable()).has_value());
  };
  decode();  // scratch memory grows once
  for (auto _ : state) decode();
  count(state, fixture.shape, size);
}

void decode_stages(benchmark::State& state) {
  Fixture fixture;
  decode_nested(state, fixture, state.range(0));
}

void encode_large(benchmark::State& state) {
  Fixture fixture(kLargeShape);
  encode_nested(state, fixture);
}

void decode_large(benchmark::State& state) {
  Fixture fixture(kLargeShape);
  decode_nested(state, fixture, state.range(0));
}

void encode_tier(benchmark::State& state) {
  Fixture fixture(static_cast<Tier>(state.range(0)));
  encode_nested(state, fixture);
}

void decode_tier(benchmark::State& state) {
  Fixture fixture(static_cast<Tier>(state.range(0)));
  decode_nested(state, fixture, 1);
}

void encode_shipped(benchmark::State& state, std::string_view level) {
  Fixture fixture(level);
  encode_nested(state, fixture);
}

void decode_shipped(benchmark::State& state, std::string_view level) {
  Fixture fixture(level);
  decode_nested(state, fixture, 1);
}

// Nanoseconds a value in each kernel, and in all of it.
void count_kernels(benchmark::State& state, kernels::KernelTable& table, std::chrono::steady_clock::time_point start) {
  const double values = static_cast<double>(state.iterations()) * static_cast<double>(kShape.raw_bytes().count()) / 2;
  const auto share = [&](bench::Ticks spent) {
    return std::chrono::duration<double, std::nano>(spent).count() / values;
  };
  state.counters["all"] = share(std::chrono::steady_clock::now() - start);
  bench::for_each_kernel(table, [&](std::string_view name, auto timed, auto&) {
    if (share(timed.spent) > 0) state.counters[std::string(name)] = share(timed.spent);
  });
}

void stages_of_encode(benchmark::State& state, Part part) {
  kernels::KernelTable table = bench::timed_kernels();
  Fixture fixture(table);
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) benchmark::DoNotOptimize(fixture.encode(part));
  count_kernels(state, table, start);
}

void stages_of_decode(benchmark::State& state, Part part) {
  kernels::KernelTable table = bench::timed_kernels();
  Fixture fixture(table);
  Bytes size = *fixture.encode(part);
  if (part == Part::kBase) {
    size = fixture.encoder.encode(fixture.unit.view(), fixture.context, fixture.out)->parts()[0].size;
  }
  const std::span<const std::byte> frame = std::span<const std::byte>(fixture.out).first(size.count());
  bench::for_each_kernel(table, [](std::string_view, auto timed, auto&) { timed.spent = {}; });
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        fixture.decoder.decode({&frame, 1}, kShape, fixture.context, fixture.target.writable()).has_value());
  }
  count_kernels(state, table, start);
}

BENCHMARK_CAPTURE(stages_of_encode, nested, Part::kBase);
BENCHMARK_CAPTURE(stages_of_decode, base, Part::kBase);
BENCHMARK_CAPTURE(stages_of_encode, lossless, Part::kLossless);
BENCHMARK_CAPTURE(stages_of_decode, lossless, Part::kLossless);
BENCHMARK_CAPTURE(stages_of_encode, int8, Part::kInt8);
BENCHMARK_CAPTURE(stages_of_decode, int8, Part::kInt8);
BENCHMARK_CAPTURE(copy_rows, 1MiB, kShape);
BENCHMARK_CAPTURE(copy_rows, 32MiB, kLargeShape);
BENCHMARK_CAPTURE(encode_part, raw, Part::kRaw);
BENCHMARK_CAPTURE(encode_part, lossless, Part::kLossless);
BENCHMARK_CAPTURE(encode_part, int8, Part::kInt8);
BENCHMARK_CAPTURE(encode_part, nested, Part::kBase);
BENCHMARK_CAPTURE(decode_part, raw, Part::kRaw);
BENCHMARK_CAPTURE(decode_part, lossless, Part::kLossless);
BENCHMARK_CAPTURE(decode_part, int8, Part::kInt8);
BENCHMARK(decode_stages)->Arg(1)->Arg(2)->Arg(3);
BENCHMARK(encode_large)->Name("encode_nested/32MiB");
BENCHMARK(decode_large)->Name("decode_stages_32MiB")->Arg(1)->Arg(3);
BENCHMARK(encode_tier)->Name("encode_tier")->Arg(1)->Arg(2)->Arg(3);
BENCHMARK(decode_tier)->Name("decode_tier")->Arg(1)->Arg(2)->Arg(3);
BENCHMARK_CAPTURE(encode_shipped, default, "default")->Name("encode_tier/1_as_calibrated/default");
BENCHMARK_CAPTURE(encode_shipped, nested, "nested")->Name("encode_tier/1_as_calibrated/nested");
BENCHMARK_CAPTURE(decode_shipped, default, "default")->Name("decode_tier/1_as_calibrated/default");
BENCHMARK_CAPTURE(decode_shipped, nested, "nested")->Name("decode_tier/1_as_calibrated/nested");

}  // namespace
}  // namespace sluice::codec

BENCHMARK_MAIN();
