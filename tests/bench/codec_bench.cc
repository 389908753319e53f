// Encode and decode speed of every part on synthetic rows with the statistics of a cache, against a copy of the same
// rows. Figures are bytes of raw KV per second on one core. Run: build/tests/bench/bench_codec
#include <benchmark/benchmark.h>

#include <vector>

#include "codec/decoder.h"
#include "codec/encoder.h"
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
  Encoder encoder = *Encoder::open(kernels::available_kernels().front(), {});
  Decoder decoder = *Decoder::open(kernels::available_kernels().front());
  std::vector<std::byte> out = std::vector<std::byte>(Encoder::max_nested_size(kShape).count());
  Fixture() { fill_like_cache(unit, 1); }

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
    const EncodedPart& part = encoded.parts[static_cast<std::size_t>(stage)];
    frames.push_back(std::span<const std::byte>(fixture.out).subspan(part.offset.count(), part.size.count()));
    size += part.size;
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        fixture.decoder.decode(frames, kShape, fixture.context, fixture.target.writable()).has_value());
  }
  count(state, size);
}

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
