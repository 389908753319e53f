// `sluice bench`: how fast this machine encodes and decodes real KV at each level, and below which link rate that pays.
// One thread, no network. The micro-benchmarks of kernels are tests/bench.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "codec/part_name.h"
#include "integration/codec_inspection.h"
#include "integration/codec_rates.h"
#include "integration/engines/recorded/recording.h"
#include "integration/mapped_file.h"
#include "integration/programs/codec_files.h"
#include "integration/programs/command_line.h"
#include "integration/safetensors.h"
#include "kernels/table.h"

namespace sluice::programs {
namespace {

using integration::CodecRate;
using integration::Geometry;
using integration::KvPlanes;
using nlohmann::json;

struct BenchArguments {
  std::string kv = "recorded";
  integration::CoderOptions coder;
  std::uint64_t rounds = 5;
  std::uint64_t chunk_tokens = 256;
  std::uint64_t group_layers = 6;
};

/// What is encoded.
struct Rows {
  KvPlanes planes;
  kernels::RopeSpec rope;
};

Result<Rows> read_rows(const std::string& kv) {
  if (kv == "recorded") {
    SLUICE_ASSIGN(auto recording, integration::recorded::load_recording(kernels::available_kernels().front(), {}));
    return Rows{std::move(recording.planes), recording.description.rope};
  }
  SLUICE_ASSIGN(const integration::MappedFile file, integration::MappedFile::open(kv));
  SLUICE_ASSIGN(const integration::KvTensors tensors, integration::read_kv_tensors(file.bytes()));
  SLUICE_ASSIGN(KvPlanes planes, integration::planes_of(tensors));
  return Rows{std::move(planes), tensors.rope};
}

double gigabytes_per_second(Bytes size, Duration span) {
  return static_cast<double>(size.count()) / static_cast<double>(std::max<std::int64_t>(span.count(), 1));
}

double percent(const integration::TimedRounds& rounds) {
  return 100.0 * static_cast<double>(rounds.spread.count()) /
         static_cast<double>(std::max<std::int64_t>(rounds.median.count(), 1));
}

/// "2.4 Gbit/s"; "never" and "any" where no rate is the border.
std::string border(BitsPerSecond rate) {
  if (rate.is_zero()) return "never";
  if (rate == BitsPerSecond::max()) return "any";
  return fmt::format("{:.2f} Gbit/s", static_cast<double>(rate.count()) / 1e9);
}

void print_table(const std::vector<CodecRate>& rates, const kernels::KvShape& shape) {
  std::printf("%-12s %10s %22s %22s %16s %16s\n", "level", "bits/value", "encode GB/s (spread)", "decode GB/s (spread)",
              "pays: reuse", "pays: hand-over");
  for (const CodecRate& rate : rates) {
    std::printf("%-12s %10.3f %15.3f (%2.0f %%) %15.3f (%2.0f %%) %16s %16s\n",
                std::string(codec::part_name(rate.part)).c_str(), integration::bits_per_value(rate.wire.count(), shape),
                gigabytes_per_second(rate.raw, rate.encode.median), percent(rate.encode),
                gigabytes_per_second(rate.raw, rate.decode.median), percent(rate.decode),
                border(pays_below(rate, rates.front(), true)).c_str(),
                border(pays_below(rate, rates.front(), false)).c_str());
  }
  std::printf(
      "GB/s of raw rows, one thread, median of the rounds; pays: the link rate below which rows are in place "
      "sooner than raw ones if nothing overlaps (reuse: encoded before)\n");
}

json to_json(const std::vector<CodecRate>& rates, const kernels::KvShape& shape) {
  json levels = json::array();
  const auto ns = [](const integration::TimedRounds& rounds) {
    return json{{"median_ns", rounds.median.count()}, {"spread_ns", rounds.spread.count()}};
  };
  for (const CodecRate& rate : rates) {
    levels.push_back({{"level", codec::part_name(rate.part)},
                      {"raw_bytes", rate.raw.count()},
                      {"wire_bytes", rate.wire.count()},
                      {"bits_per_value", integration::bits_per_value(rate.wire.count(), shape)},
                      {"encode", ns(rate.encode)},
                      {"decode", ns(rate.decode)},
                      {"pays_below_bits_per_second",
                       {{"reuse", pays_below(rate, rates.front(), true).count()},
                        {"hand_over", pays_below(rate, rates.front(), false).count()}}}});
  }
  return {{"kernels", kernels::available_kernels().front().name}, {"threads", 1}, {"levels", levels}};
}

Result<std::vector<CodecRate>> measure(const BenchArguments& arguments, integration::UnitCoder& coder,
                                       const Rows& rows) {
  SLUICE_ASSIGN(
      const Geometry geometry,
      Geometry::make(rows.planes.shape(), rows.rope, {Tokens(arguments.chunk_tokens), Layers(arguments.group_layers)}));
  const MonotonicClock clock;
  return integration::measure_codec(coder, rows.planes, geometry, {arguments.rounds, &clock});
}

ExitCode bench(const BenchArguments& arguments, bool is_json) {
  const Result<Rows> rows = read_rows(arguments.kv);
  if (!rows) return fail(arguments.kv, rows.error());
  Result<integration::UnitCoder> coder = integration::UnitCoder::open(arguments.coder);
  if (!coder) return fail("profile " + arguments.coder.profile, coder.error());
  const kernels::KvShape& shape = rows->planes.shape();
  std::fprintf(stderr, "measuring %.1f MB of KV (%llu tokens), %llu rounds, kernels %s\n",
               static_cast<double>(shape.raw_bytes().count()) / 1e6,
               static_cast<unsigned long long>(shape.tokens.count()), static_cast<unsigned long long>(arguments.rounds),
               std::string(kernels::available_kernels().front().name).c_str());
  const Result<std::vector<CodecRate>> rates = measure(arguments, *coder, *rows);
  if (!rates) return fail("bench", rates.error());
  if (is_json) {
    std::printf("%s\n", to_json(*rates, shape).dump().c_str());
  } else {
    print_table(*rates, shape);
  }
  return ExitCode::kOk;
}

}  // namespace

void add_bench_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "bench", "how fast this machine encodes and decodes KV at each level, and below which link rate that pays");
  const auto arguments = std::make_shared<BenchArguments>();  // lives as long as the callback
  command->add_option("--kv", arguments->kv, "safetensors file with k and v, or 'recorded', which is in the program");
  CLI::Option* profile = command->add_option("--profile", arguments->coder.profile, ".slp file of the model");
  command->add_option("--level", arguments->coder.level, "of the profile (nested)")->needs(profile);
  command->add_option("--rounds", arguments->rounds, "of each measurement (5)")->check(CLI::Range(1, 1000));
  command->add_option("--chunk-tokens", arguments->chunk_tokens, "tokens of one unit (256)")
      ->check(CLI::Range(1, 4096));
  command->add_option("--group-layers", arguments->group_layers, "layers of one unit (6)")->check(CLI::Range(1, 4096));
  add_transport_bench_command(*command, invocation);
  command->callback([command, &invocation, arguments] {
    if (!command->get_subcommands().empty()) return;  // it has a callback of its own
    invocation.run = [&invocation, arguments] { return bench(*arguments, invocation.json); };
  });
}

}  // namespace sluice::programs
