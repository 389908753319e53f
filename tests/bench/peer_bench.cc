// What others do with the same bytes: htscodecs' rANS 32x16, zstd's Huff0 (literals only) and level 1, the bit-serial
// coder, a copy; and the core's multiply-add peak. Their tables are their own, made per call; ours are static.
#define ZSTD_STATIC_LINKING_ONLY  // the parameter that forces literals to be compressed
#include <benchmark/benchmark.h>
#include <htscodecs/rANS_static4x16.h>
#include <zstd.h>

#include <cstring>

#include "tests/bench/bit_serial_coder.h"
#include "tests/bench/symbol_data.h"

namespace sluice::bench {
namespace {

void count(benchmark::State& state, std::size_t symbols, std::size_t bytes) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * symbols));
  state.counters["bits_per_symbol"] = 8.0 * static_cast<double>(bytes) / static_cast<double>(symbols);
}

// The library takes non-const input that it does not change.
struct Htscodecs {
  std::vector<std::uint8_t> symbols, coded, back;
  unsigned coded_size = 0;

  Htscodecs(std::size_t size, int cpu) : symbols(draw_symbols(size)), back(size) {
    rans_set_cpu(cpu);
    coded.resize(rans_compress_bound_4x16(static_cast<unsigned>(size), RANS_ORDER_X32));
    encode();
  }
  ~Htscodecs() { rans_set_cpu(-1); }
  void encode() {
    coded_size = static_cast<unsigned>(coded.size());
    rans_compress_to_4x16(symbols.data(), static_cast<unsigned>(symbols.size()), coded.data(), &coded_size,
                          RANS_ORDER_X32);
  }
  void decode() {
    unsigned size = static_cast<unsigned>(back.size());
    rans_uncompress_to_4x16(coded.data(), coded_size, back.data(), &size);
  }
};

void htscodecs_encode(benchmark::State& state, std::size_t size) {
  Htscodecs coder(size, -1);
  for (auto _ : state) coder.encode();
  count(state, size, coder.coded_size);
}

void htscodecs_decode(benchmark::State& state, std::size_t size) {
  Htscodecs coder(size, -1);
  for (auto _ : state) coder.decode();
  if (coder.back != coder.symbols) state.SkipWithError("symbols differ");
  count(state, size, coder.coded_size);
}

// Huff0 is not exported by the library; with matches made unlikely (short window, long matches, tiny hash) and literals
// forced through it, what remains of a zstd frame is nearly Huff0 alone. bits_per_symbol shows how nearly.
struct Zstd {
  std::vector<std::uint8_t> symbols, coded, back;
  ZSTD_CCtx* encoder = ZSTD_createCCtx();
  ZSTD_DCtx* decoder = ZSTD_createDCtx();
  std::size_t coded_size = 0;

  explicit Zstd(bool only_literals) : symbols(draw_symbols(kInCache)), back(kInCache) {
    coded.resize(ZSTD_compressBound(kInCache));
    ZSTD_CCtx_setParameter(encoder, ZSTD_c_compressionLevel, 1);
    if (only_literals) {
      ZSTD_CCtx_setParameter(encoder, ZSTD_c_windowLog, ZSTD_WINDOWLOG_MIN);
      ZSTD_CCtx_setParameter(encoder, ZSTD_c_hashLog, ZSTD_HASHLOG_MIN);
      ZSTD_CCtx_setParameter(encoder, ZSTD_c_minMatch, ZSTD_MINMATCH_MAX);
      ZSTD_CCtx_setParameter(encoder, ZSTD_c_strategy, ZSTD_fast);
      ZSTD_CCtx_setParameter(encoder, ZSTD_c_targetLength, ZSTD_TARGETLENGTH_MAX);
      ZSTD_CCtx_setParameter(encoder, ZSTD_c_literalCompressionMode, ZSTD_ps_enable);
    }
    encode();
  }
  ~Zstd() {
    ZSTD_freeCCtx(encoder);
    ZSTD_freeDCtx(decoder);
  }
  void encode() { coded_size = ZSTD_compress2(encoder, coded.data(), coded.size(), symbols.data(), symbols.size()); }
  void decode() { ZSTD_decompressDCtx(decoder, back.data(), back.size(), coded.data(), coded_size); }
};

void zstd_encode(benchmark::State& state, bool only_literals) {
  Zstd coder(only_literals);
  for (auto _ : state) coder.encode();
  count(state, kInCache, coder.coded_size);
}

void zstd_decode(benchmark::State& state, bool only_literals) {
  Zstd coder(only_literals);
  for (auto _ : state) coder.decode();
  if (coder.back != coder.symbols) state.SkipWithError("symbols differ");
  count(state, kInCache, coder.coded_size);
}

Cumulative cumulative() {
  Cumulative sums{0};
  for (const std::uint16_t frequency : kFrequencies) sums.push_back(sums.back() + 256U * frequency);
  return sums;
}

void bit_serial_encode(benchmark::State& state) {
  const std::vector<std::uint8_t> symbols = draw_symbols(kInCache / 16);
  const Cumulative sums = cumulative();
  BitSerialEncoder encoder;
  for (auto _ : state) {
    encoder.clear();
    encoder.encode(sums, symbols);
  }
  count(state, symbols.size(), encoder.bytes().size());
}

void bit_serial_decode(benchmark::State& state) {
  const std::vector<std::uint8_t> symbols = draw_symbols(kInCache / 16);
  std::vector<std::uint8_t> back(symbols.size());
  const Cumulative sums = cumulative();
  BitSerialEncoder encoder;
  encoder.encode(sums, symbols);
  for (auto _ : state) BitSerialDecoder(encoder.bytes()).decode(sums, back);
  if (back != symbols) state.SkipWithError("symbols differ");
  count(state, symbols.size(), encoder.bytes().size());
}

BENCHMARK_CAPTURE(htscodecs_encode, 256KiB, kInCache);
BENCHMARK_CAPTURE(htscodecs_decode, 256KiB, kInCache);
BENCHMARK_CAPTURE(htscodecs_encode, 64MiB, kOutOfCache);
BENCHMARK_CAPTURE(htscodecs_decode, 64MiB, kOutOfCache);
BENCHMARK_CAPTURE(zstd_encode, huff0, true);
BENCHMARK_CAPTURE(zstd_decode, huff0, true);
BENCHMARK_CAPTURE(zstd_encode, level1, false);
BENCHMARK_CAPTURE(zstd_decode, level1, false);
BENCHMARK(bit_serial_encode);
BENCHMARK(bit_serial_decode);

}  // namespace
}  // namespace sluice::bench
