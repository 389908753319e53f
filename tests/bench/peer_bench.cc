// What others do with the same bytes: htscodecs' rANS 32x16, zstd's Huff0 and level 1, the bit-serial
// coder, a copy; and the core's multiply-add peak. Their tables are their own, made per call; ours are static.
#include <benchmark/benchmark.h>
#include <htscodecs/rANS_static4x16.h>
#include <zstd.h>

#include <cstring>
#include <numeric>

#include "tests/bench/bit_serial_coder.h"
#include "tests/bench/symbol_data.h"

// Huff0's own functions, of libzstd 1.5.4 and newer; its header is not installed. A wrong guess would not decode.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {
std::size_t HUF_compress4X_repeat(void* out, std::size_t room, const void* in, std::size_t size,
                                  unsigned largest_symbol, unsigned table_log, void* workspace,
                                  std::size_t workspace_size, std::uint64_t* table, int* repeat, int flags);
std::size_t HUF_decompress4X_hufOnly_wksp(std::uint32_t* table, void* out, std::size_t room, const void* in,
                                          std::size_t size, void* workspace, std::size_t workspace_size, int flags);
}
// NOLINTEND(readability-identifier-naming)

namespace sluice::bench {
namespace {

constexpr int kHuff0Bmi2 = 1;
constexpr std::uint32_t kHuff0TableLog = 12;

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

// Instruction sets that it may use.
constexpr int kOwnChoice = -1;
constexpr int kAvx2 = RANS_CPU_ENC_AVX2 | RANS_CPU_DEC_AVX2;

void htscodecs_encode(benchmark::State& state, std::size_t size, int cpu) {
  Htscodecs coder(size, cpu);
  for (auto _ : state) coder.encode();
  count(state, size, coder.coded_size);
}

void htscodecs_decode(benchmark::State& state, std::size_t size, int cpu) {
  Htscodecs coder(size, cpu);
  for (auto _ : state) coder.decode();
  if (coder.back != coder.symbols) state.SkipWithError("symbols differ");
  count(state, size, coder.coded_size);
}

// Huff0 in blocks of 128 KiB, its largest; a table is made and sent per block.
struct Huff0 {
  static constexpr std::size_t kBlock = std::size_t{128} << 10U;
  std::vector<std::uint8_t> symbols = draw_symbols(kInCache), back = std::vector<std::uint8_t>(kInCache);
  std::vector<std::vector<std::uint8_t>> coded;
  std::vector<std::size_t> sizes;
  std::vector<std::uint64_t> table = std::vector<std::uint64_t>(257), workspace = std::vector<std::uint64_t>(4096);
  std::vector<std::uint32_t> decode_table = std::vector<std::uint32_t>(1 + (1U << kHuff0TableLog));

  Huff0() {
    coded.assign(kInCache / kBlock, std::vector<std::uint8_t>(kBlock));
    sizes.resize(coded.size());
    encode();
  }
  void encode() {
    for (std::size_t i = 0; i < coded.size(); ++i) {
      int repeat = 0;
      sizes[i] = HUF_compress4X_repeat(coded[i].data(), kBlock, symbols.data() + i * kBlock, kBlock, 255, 11,
                                       workspace.data(), 8 * workspace.size(), table.data(), &repeat, kHuff0Bmi2);
    }
  }
  void decode() {
    for (std::size_t i = 0; i < coded.size(); ++i) {
      decode_table[0] = kHuff0TableLog * 0x01000001U;
      HUF_decompress4X_hufOnly_wksp(decode_table.data(), back.data() + i * kBlock, kBlock, coded[i].data(), sizes[i],
                                    workspace.data(), 8 * workspace.size(), kHuff0Bmi2);
    }
  }
  std::size_t size() const { return std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}); }
};

void huff0_encode(benchmark::State& state) {
  Huff0 coder;
  for (auto _ : state) coder.encode();
  count(state, kInCache, coder.size());
}

void huff0_decode(benchmark::State& state) {
  Huff0 coder;
  for (auto _ : state) coder.decode();
  if (coder.back != coder.symbols) state.SkipWithError("symbols differ");
  count(state, kInCache, coder.size());
}

struct Zstd {
  std::vector<std::uint8_t> symbols = draw_symbols(kInCache), coded, back = std::vector<std::uint8_t>(kInCache);
  std::size_t coded_size = 0;

  Zstd() {
    coded.resize(ZSTD_compressBound(kInCache));
    encode();
  }
  void encode() { coded_size = ZSTD_compress(coded.data(), coded.size(), symbols.data(), symbols.size(), 1); }
  void decode() { ZSTD_decompress(back.data(), back.size(), coded.data(), coded_size); }
};

void zstd_encode(benchmark::State& state) {
  Zstd coder;
  for (auto _ : state) coder.encode();
  count(state, kInCache, coder.coded_size);
}

void zstd_decode(benchmark::State& state) {
  Zstd coder;
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

BENCHMARK_CAPTURE(htscodecs_encode, 256KiB, kInCache, kOwnChoice);
BENCHMARK_CAPTURE(htscodecs_decode, 256KiB, kInCache, kOwnChoice);
BENCHMARK_CAPTURE(htscodecs_encode, 64MiB, kOutOfCache, kOwnChoice);
BENCHMARK_CAPTURE(htscodecs_decode, 64MiB, kOutOfCache, kOwnChoice);
BENCHMARK_CAPTURE(htscodecs_encode, 256KiB_avx2, kInCache, kAvx2);
BENCHMARK_CAPTURE(htscodecs_decode, 256KiB_avx2, kInCache, kAvx2);
BENCHMARK_CAPTURE(htscodecs_encode, 64MiB_avx2, kOutOfCache, kAvx2);
BENCHMARK_CAPTURE(htscodecs_decode, 64MiB_avx2, kOutOfCache, kAvx2);
BENCHMARK(huff0_encode);
BENCHMARK(huff0_decode);
BENCHMARK(zstd_encode)->Name("zstd_encode/level1");
BENCHMARK(zstd_decode)->Name("zstd_decode/level1");
BENCHMARK(bit_serial_encode);
BENCHMARK(bit_serial_decode);

}  // namespace
}  // namespace sluice::bench
