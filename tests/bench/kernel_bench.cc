// Every kernel of every table that this machine runs: names are kernel/table or kernel/table/variant. Figures are
// values a second on one core (items_per_second), in cache unless the name says otherwise.
#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>
#include <string>

#include "kernels/table.h"
#include "tests/bench/symbol_data.h"

namespace sluice::bench {
namespace {

using kernels::KernelTable;

void count(benchmark::State& state, std::size_t values) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * values));
}

kernels::RansTable rans_table() {
  kernels::RansTable table;
  if (!make_rans_table(kFrequencies, table)) std::abort();
  return table;
}

// kStreams streams of equal length over one table.
struct Streams {
  std::vector<std::uint8_t> symbols, back;
  std::vector<std::vector<std::byte>> rooms;
  std::array<kernels::RansWriter, kStreams> writers;
  std::array<kernels::RansReader, kStreams> readers;
  kernels::RansTable table = rans_table();
  std::size_t each;

  explicit Streams(std::size_t total) : symbols(draw_symbols(total)), back(total), each(total / kStreams) {
    rooms.assign(kStreams, std::vector<std::byte>(2 * each));
  }
  void encode(const KernelTable& kernels, bool together) {
    std::array<kernels::RansEncodeRun, kStreams> runs;
    std::array<kernels::RansEncodeStream, kStreams> streams;
    for (std::size_t i = 0; i < kStreams; ++i) {
      writers[i] = kernels::open_rans_writer(rooms[i]);
      runs[i] = {.table = &table, .symbols = std::span<const std::uint8_t>(symbols).subspan(i * each, each)};
      streams[i] = {&writers[i], {&runs[i], 1}};
      if (!together) kernels.rans_encode(writers[i], table, runs[i].symbols);
    }
    if (together) kernels.rans_encode_streams(streams);
  }
  void decode(const KernelTable& kernels, bool together) {
    std::array<kernels::RansDecodeRun, kStreams> runs;
    std::array<kernels::RansDecodeStream, kStreams> streams;
    for (std::size_t i = 0; i < kStreams; ++i) {
      readers[i] = {.states = writers[i].states, .cursor = writers[i].cursor, .end = rooms[i].data() + rooms[i].size()};
      runs[i] = {.table = &table, .symbols = std::span(back).subspan(i * each, each)};
      streams[i] = {&readers[i], {&runs[i], 1}};
      if (!together) kernels.rans_decode(readers[i], table, runs[i].symbols);
    }
    if (together) kernels.rans_decode_streams(streams);
  }
};

struct Coding {
  bool together = true;
  std::size_t size = kInCache;
};

void rans_encode(benchmark::State& state, const KernelTable& kernels, Coding coding) {
  Streams streams(coding.size);
  for (auto _ : state) streams.encode(kernels, coding.together);
  std::size_t words = 0;
  for (std::size_t i = 0; i < kStreams; ++i) {
    words += static_cast<std::size_t>(streams.rooms[i].data() + streams.rooms[i].size() - streams.writers[i].cursor);
  }
  count(state, coding.size);
  // The flush: four bytes a lane, of which the lanes' own start is half.
  const std::size_t flush = kStreams * 4 * kernels::kRansLanes;
  state.counters["bits_per_symbol"] = 8.0 * static_cast<double>(words + flush) / static_cast<double>(coding.size);
  state.counters["size_over_entropy"] = 8.0 * static_cast<double>(words) / ideal_bits(streams.symbols);
}

void rans_decode(benchmark::State& state, const KernelTable& kernels, Coding coding) {
  Streams streams(coding.size);
  streams.encode(kernels, true);
  for (auto _ : state) streams.decode(kernels, coding.together);
  if (streams.back != streams.symbols) state.SkipWithError("symbols differ");
  count(state, coding.size);
}

// Refinement symbols: four contexts of four symbols.
struct ContextStreams {
  kernels::RansContexts tables;
  std::vector<std::uint8_t> symbols = draw_symbols(kInCache), contexts = symbols;
  std::vector<std::uint8_t> back = std::vector<std::uint8_t>(kInCache);
  std::vector<std::vector<std::byte>> rooms;
  std::array<kernels::RansWriter, kStreams> writers;
  std::array<kernels::RansReader, kStreams> readers;

  ContextStreams() {
    constexpr std::array<std::array<std::uint16_t, 4>, 4> kFour{
        {{60, 126, 60, 10}, {50, 96, 80, 30}, {6, 120, 120, 10}, {80, 86, 80, 10}}};
    if (!make_rans_contexts({kFour[0], kFour[1], kFour[2], kFour[3]}, tables)) std::abort();
    for (std::uint8_t& symbol : symbols) symbol = static_cast<std::uint8_t>(symbol % 4);
    for (std::uint8_t& context : contexts) context = static_cast<std::uint8_t>(context % 4);
    rooms.assign(kStreams, std::vector<std::byte>(2 * kEach));
  }
  void encode(const KernelTable& kernels) {
    std::array<kernels::RansEncodeRun, kStreams> runs;
    std::array<kernels::RansEncodeStream, kStreams> streams;
    for (std::size_t i = 0; i < kStreams; ++i) {
      writers[i] = kernels::open_rans_writer(rooms[i]);
      runs[i] = {.by_context = &tables,
                 .contexts = contexts.data() + i * kEach,
                 .symbols = std::span<const std::uint8_t>(symbols).subspan(i * kEach, kEach)};
      streams[i] = {&writers[i], {&runs[i], 1}};
    }
    kernels.rans_encode_streams(streams);
  }
  void decode(const KernelTable& kernels) {
    std::array<kernels::RansDecodeRun, kStreams> runs;
    std::array<kernels::RansDecodeStream, kStreams> streams;
    for (std::size_t i = 0; i < kStreams; ++i) {
      readers[i] = {.states = writers[i].states, .cursor = writers[i].cursor, .end = rooms[i].data() + rooms[i].size()};
      runs[i] = {.by_context = &tables,
                 .contexts = contexts.data() + i * kEach,
                 .symbols = std::span(back).subspan(i * kEach, kEach)};
      streams[i] = {&readers[i], {&runs[i], 1}};
    }
    kernels.rans_decode_streams(streams);
  }
  static constexpr std::size_t kEach = kInCache / kStreams;
};

void rans_context(benchmark::State& state, const KernelTable& kernels, bool is_decode) {
  ContextStreams streams;
  streams.encode(kernels);
  for (auto _ : state) is_decode ? streams.decode(kernels) : streams.encode(kernels);
  if (is_decode && streams.back != streams.symbols) state.SkipWithError("symbols differ");
  count(state, kInCache);
}

// One channel of a chunk, and a strip of rows of three heads.
constexpr std::size_t kTokens = 256;
constexpr std::size_t kWidth = 192;
constexpr std::size_t kStrip = 32;

struct Column {
  std::vector<float> values = std::vector<float>(kTokens), other = std::vector<float>(kTokens);
  std::vector<std::int16_t> coarse = std::vector<std::int16_t>(kTokens), fine = coarse, last = coarse;
  std::vector<std::uint8_t> symbols = std::vector<std::uint8_t>(kTokens), contexts = symbols;
  Column() {
    for (std::size_t i = 0; i < kTokens; ++i) values[i] = 3.0F * std::sin(static_cast<float>(i * i));
    other = values;
    kernels::ref_kernels().quantize(values, {0, 9}, {coarse, fine, last});
  }
};

template <typename Body>
void per_column(benchmark::State& state, Body body) {
  Column column;
  for (auto _ : state) {
    body(column);
    benchmark::ClobberMemory();
  }
  count(state, kTokens);
}

struct Strip {
  kernels::KvShape shape{.layers = Layers(1), .tokens = Tokens(kStrip), .kv_heads = Heads(3), .head_dim = HeadDim(64)};
  std::vector<std::byte> page = std::vector<std::byte>(4 * kStrip * kWidth);
  std::vector<float> rows = std::vector<float>(kStrip * kWidth), columns = std::vector<float>(kTokens * kWidth);
  const std::byte* in = page.data();
  std::byte* out = page.data();
  explicit Strip(kernels::DType dtype) { shape.dtype = dtype; }
  template <typename Byte>
  kernels::BasicPlaneView<Byte> plane(Byte*& block) const {
    const auto head = static_cast<std::ptrdiff_t>(64 * dtype_size(shape.dtype));
    return {{&block, 1}, kStrip, 3 * head, head};
  }
};

template <typename Body>
void per_strip(benchmark::State& state, kernels::DType dtype, Body body) {
  Strip strip(dtype);
  for (auto _ : state) {
    body(strip);
    benchmark::ClobberMemory();
  }
  count(state, kStrip * kWidth);
}

void transform(benchmark::State& state, const KernelTable& kernels, std::size_t dim) {
  const std::vector<float> matrix(dim * dim, 0.01F), in(dim * kTokens, 1.0F);
  std::vector<float> out(dim * kTokens);
  for (auto _ : state) kernels.transform(matrix, in, {.rows = dim, .inner = dim, .tokens = kTokens}, out);
  count(state, dim * kTokens);
  state.counters["flops"] =
      benchmark::Counter(static_cast<double>(2 * dim * dim * kTokens), benchmark::Counter::kIsIterationInvariantRate);
}

template <typename Body>
void add(const std::string& name, const KernelTable& kernels, Body body) {
  benchmark::RegisterBenchmark((name + "/" + std::string(kernels.name)).c_str(), body);
}

void add_rans(const KernelTable& kernels) {
  const KernelTable* const k = &kernels;
  const auto variant = [&](const char* name, Coding coding) {
    add(std::string("rans_encode") + name, kernels, [=](benchmark::State& state) { rans_encode(state, *k, coding); });
    add(std::string("rans_decode") + name, kernels, [=](benchmark::State& state) { rans_decode(state, *k, coding); });
  };
  variant("", {});
  variant("_lone", {.together = false});
  variant("_64MiB", {.size = kOutOfCache});
  add("rans_encode_context", kernels, [=](benchmark::State& state) { rans_context(state, *k, false); });
  add("rans_decode_context", kernels, [=](benchmark::State& state) { rans_context(state, *k, true); });
}

void add_columns(const KernelTable& kernels) {
  const KernelTable* const k = &kernels;
  const auto column = [&](const char* name, auto body) {
    add(name, kernels, [=](benchmark::State& state) { per_column(state, body); });
  };
  column("moments", [=](Column& c) { benchmark::DoNotOptimize(k->moments(c.values)); });
  column("quantize", [=](Column& c) { k->quantize(c.values, {0.1F, 9.0F}, {c.coarse, c.fine, c.last}); });
  column("dequantize", [=](Column& c) { k->dequantize(c.coarse, {0.1F, 1.0F}, c.values); });
  column("fold", [=](Column& c) { benchmark::DoNotOptimize(k->fold(c.coarse, 4, c.symbols)); });
  column("unfold", [=](Column& c) { benchmark::DoNotOptimize(k->unfold(c.symbols, 4, c.coarse)); });
  column("fold_refinement", [=](Column& c) { k->fold_refinement(c.coarse, c.fine, c.symbols, c.contexts); });
  column("context", [=](Column& c) { k->context(c.coarse, c.contexts); });
  column("refine", [=](Column& c) { k->refine(c.symbols, c.coarse); });
  column("rotate", [=](Column& c) { k->rotate({c.values, c.other, c.other, c.other, 0.0F}); });
}

void add_rows(const KernelTable& kernels) {
  const KernelTable* const k = &kernels;
  const auto strip = [&](const char* name, kernels::DType dtype, auto body) {
    add(name, kernels, [=](benchmark::State& state) { per_strip(state, dtype, body); });
  };
  const auto gather = [=](Strip& s) { k->gather(s.plane(s.in), s.shape, {0, kStrip}, s.rows); };
  const auto scatter = [=](Strip& s) { k->scatter(s.rows, s.shape, {0, kStrip}, s.plane(s.out)); };
  const kernels::TransposeExtent extent{.tokens = kStrip, .width = kWidth, .first = 0, .stride = kTokens};
  strip("gather_f16", kernels::DType::kF16, gather);
  strip("gather_bf16", kernels::DType::kBf16, gather);
  strip("gather_e4m3", kernels::DType::kE4m3, gather);
  strip("scatter_f16", kernels::DType::kF16, scatter);
  strip("scatter_bf16", kernels::DType::kBf16, scatter);
  strip("scatter_e4m3", kernels::DType::kE4m3, scatter);
  strip("to_columns", kernels::DType::kF16, [=](Strip& s) { k->to_columns(s.rows, extent, s.columns); });
  strip("to_rows", kernels::DType::kF16, [=](Strip& s) { k->to_rows(s.columns, extent, s.rows); });
}

[[maybe_unused]] const bool kAdded = [] {
  for (const KernelTable& kernels : kernels::available_kernels()) {
    add_rans(kernels);
    add_columns(kernels);
    add_rows(kernels);
    for (const std::size_t dim : {64, 128, 192, 512}) {
      add("transform_" + std::to_string(dim), kernels,
          [&kernels, dim](benchmark::State& state) { transform(state, kernels, dim); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace sluice::bench
