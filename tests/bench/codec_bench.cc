// Encode and decode speed of every part on synthetic rows with the statistics of a cache, against a copy of the same
// rows. Figures are bytes of raw KV per second on one core. Run: build/tests/bench/bench_codec
#include <benchmark/benchmark.h>

#include <chrono>
#include <string>
#include <vector>

#include "codec/decoder.h"
#include "codec/encoder.h"
#include "tests/bench/timed_table.h"
#include "tests/unit/codec/paged_unit.h"

namespace sluice::codec {
namespace {

// SmolLM2-135M: 6 layers of one 256-token chunk, fp16.
constexpr kernels::KvShape kShape{
    .layers = Layers(6), .tokens = Tokens(256), .kv_heads = Heads(3), .head_dim = HeadDim(64)};

struct Fixture {
  PagedUnit unit{kShape, {.block_tokens = 256}};
  PagedUnit target{kShape, {.block_tokens = 256}};
  UnitContext context{.rope = {.style = kernels::RopeStyle::kPairs, .dims = 64, .base = 100000.0},
                      .first_position = TokenIndex(256),
                      .request_tokens = Tokens(4096)};
  const kernels::KernelTable& table;
  Encoder encoder = *Encoder::open(table, {});
  Decoder decoder = *Decoder::open(table);
  std::vector<std::byte> out = std::vector<std::byte>(Encoder::max_nested_size(kShape).count());
  explicit Fixture(const kernels::KernelTable& kernels = kernels::available_kernels().front()) : table(kernels) {
    fill_like_cache(unit, 1);
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

void count(benchmark::State& state, Bytes coded) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kShape.raw_bytes().count()));
  state.counters["bits_per_value"] =
      8.0 * static_cast<double>(coded.count()) / static_cast<double>(kShape.raw_bytes().count() / 2);
}

void copy_rows(benchmark::State& state) {
  Fixture fixture;
  const std::vector<std::byte> rows = fixture.unit.bytes();
  std::vector<std::byte> target(rows.size());
  for (auto _ : state) {
    std::memcpy(target.data(), rows.data(), rows.size());
    benchmark::DoNotOptimize(target.data());
    benchmark::ClobberMemory();
  }
  count(state, kShape.raw_bytes());
}

void encode_part(benchmark::State& state, Part part) {
  Fixture fixture;
  Bytes size;
  for (auto _ : state) size = *fixture.encode(part);
  count(state, size);
}

void decode_part(benchmark::State& state, Part part) {
  Fixture fixture;
  const Bytes size = *fixture.encode(part);
  const std::span<const std::byte> frame = std::span<const std::byte>(fixture.out).first(size.count());
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        fixture.decoder.decode({&frame, 1}, kShape, fixture.context, fixture.target.writable()).has_value());
  }
  count(state, size);
}

void decode_stages(benchmark::State& state) {
  Fixture fixture;
  const EncodedUnit encoded = *fixture.encoder.encode(fixture.unit.view(), fixture.context, fixture.out);
  std::vector<std::span<const std::byte>> frames;
  Bytes size;
  for (std::int64_t stage = 0; stage < state.range(0); ++stage) {
    const EncodedPart& part = encoded.parts()[static_cast<std::size_t>(stage)];
    frames.push_back(std::span<const std::byte>(fixture.out).subspan(part.offset.count(), part.size.count()));
    size += part.size;
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        fixture.decoder.decode(frames, kShape, fixture.context, fixture.target.writable()).has_value());
  }
  count(state, size);
}

// Nanoseconds a value in each kernel, and in all of it.
void count_kernels(benchmark::State& state, kernels::KernelTable& table, std::chrono::steady_clock::time_point start) {
  const double values = static_cast<double>(state.iterations() * (kShape.raw_bytes().count() / 2));
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
BENCHMARK(copy_rows);
BENCHMARK_CAPTURE(encode_part, raw, Part::kRaw);
BENCHMARK_CAPTURE(encode_part, lossless, Part::kLossless);
BENCHMARK_CAPTURE(encode_part, int8, Part::kInt8);
BENCHMARK_CAPTURE(encode_part, nested, Part::kBase);
BENCHMARK_CAPTURE(decode_part, raw, Part::kRaw);
BENCHMARK_CAPTURE(decode_part, lossless, Part::kLossless);
BENCHMARK_CAPTURE(decode_part, int8, Part::kInt8);
BENCHMARK(decode_stages)->Arg(1)->Arg(2)->Arg(3);

}  // namespace
}  // namespace sluice::codec

BENCHMARK_MAIN();
