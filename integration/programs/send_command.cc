// `sluice send --to HOST:PORT FILE.safetensors|recorded`: a node without an engine that lives for one command. It
// encodes the KV, announces it, and waits until the daemon has fetched it (or the deadline has passed), N times.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "integration/address.h"
#include "integration/engines/recorded/recording.h"
#include "integration/mapped_file.h"
#include "integration/programs/command_line.h"
#include "integration/programs/command_node.h"
#include "integration/programs/node_setup.h"
#include "integration/safetensors.h"
#include "kernels/table.h"

namespace sluice::programs {
namespace {

constexpr Tokens kChunk(256);

struct SendArguments {
  std::string to;
  std::string file;
  std::string deadline = "2s";
  std::uint64_t repeat = 1;
  ConfigArguments config;
};

/// What came of all rounds.
struct Tally {
  std::uint64_t delivered = 0;
  Error error;
  Duration longest{0};
  Duration total{0};
};

/// KV to send, and what it is stored under.
struct Cargo {
  std::shared_ptr<integration::StoredPrompt> prompt;
  PrefixKey key{};
};

Result<Cargo> encode(const integration::KvPlanes& planes, const integration::Geometry& geometry,
                     const integration::NodeOptions& options) {
  SLUICE_ASSIGN(integration::UnitCoder coder, integration::UnitCoder::open(options.coder));
  Cargo cargo{std::make_shared<integration::StoredPrompt>(integration::StoredPrompt{geometry, {}, {}})};
  for (std::size_t place = 0; place < geometry.units().count(); ++place) {
    SLUICE_ASSIGN(integration::StoredUnit made,
                  coder.encode(planes, geometry, geometry.unit_at(RequestId(0), place), options.parts));
    cargo.prompt->units.push_back(std::make_shared<const integration::StoredUnit>(std::move(made)));
  }
  return cargo;
}

/// The KV of a file goes under tokens 0, 1, 2 ...: tensors say nothing of their prompt.
Result<Cargo> encode_file(const std::string& path, const integration::NodeOptions& options) {
  SLUICE_ASSIGN(const integration::MappedFile file, integration::MappedFile::open(path));
  SLUICE_ASSIGN(const integration::KvTensors tensors, integration::read_kv_tensors(file.bytes()));
  SLUICE_ASSIGN(const integration::KvPlanes planes, integration::planes_of(tensors));
  SLUICE_ASSIGN(const integration::Geometry geometry,
                integration::Geometry::make(tensors.shape, tensors.rope, {kChunk, Layers(options.group_layers)}));
  SLUICE_ASSIGN(Cargo cargo, encode(planes, geometry, options));
  for (std::uint64_t token = 0; token < tensors.shape.tokens.count(); ++token) {
    cargo.prompt->tokens.emplace_back(static_cast<std::int32_t>(token));
  }
  cargo.key = integration::prefix_key(ContentHash(0), cargo.prompt->tokens);
  return cargo;
}

/// The KV that is part of this program, under its own prompt: the daemon can then serve it.
Result<Cargo> encode_recorded(const integration::NodeOptions& options) {
  SLUICE_ASSIGN(const integration::recorded::Recording recording,
                integration::recorded::load_recording(kernels::ref_kernels(), {}));
  SLUICE_ASSIGN(const integration::Geometry geometry,
                integration::Geometry::make(recording.planes.shape(), recording.description.rope,
                                            {recording.description.chunk_tokens, Layers(options.group_layers)}));
  SLUICE_ASSIGN(Cargo cargo, encode(recording.planes, geometry, options));
  cargo.prompt->tokens.assign(recording.prompt.begin(), recording.prompt.end() - 1);
  cargo.key = integration::prefix_key(recording.description.model, cargo.prompt->tokens);
  return cargo;
}

/// Announces the cargo again and again until every round is through or one fails.
Result<Tally> send_rounds(const SendArguments& arguments, Duration deadline, const integration::NodeOptions& options,
                          Cargo cargo) {
  SLUICE_ASSIGN(const auto client, CommandNode::open(options));
  SLUICE_TRY(client->node().store().put(cargo.key, std::move(cargo.prompt)));
  Tally tally;
  std::function<void()> announce = [&] {
    const Instant begun = client->clock().now();
    client->node().announce(arguments.to, cargo.key, deadline, [&, begun](Error error) {
      tally.error = error;
      if (error.code != ErrorCode::kOk) return client->end();
      const Duration spent = client->clock().now() - begun;
      ++tally.delivered;
      tally.longest = std::max(tally.longest, spent);
      tally.total += spent;
      tally.delivered < arguments.repeat ? announce() : client->end();
    });
  };
  client->run(announce);
  return tally;
}

ExitCode report(const SendArguments& arguments, const Tally& tally, bool json) {
  const auto ms = [](Duration span) { return std::chrono::duration<double, std::milli>(span).count(); };
  const double mean = tally.delivered > 0 ? ms(tally.total) / static_cast<double>(tally.delivered) : 0.0;
  if (json) {
    const nlohmann::json told = {{"delivered", tally.delivered},
                                 {"asked", arguments.repeat},
                                 {"mean_ms", mean},
                                 {"longest_ms", ms(tally.longest)},
                                 {"error", error_name(tally.error.code)}};
    std::printf("%s\n", told.dump().c_str());
  } else {
    std::printf("delivered %llu of %llu to %s, mean %.1f ms, longest %.1f ms\n",
                static_cast<unsigned long long>(tally.delivered), static_cast<unsigned long long>(arguments.repeat),
                arguments.to.c_str(), mean, ms(tally.longest));
  }
  return tally.error.code == ErrorCode::kOk ? ExitCode::kOk : fail("send to " + arguments.to, tally.error);
}

ExitCode send(const SendArguments& arguments, bool json) {
  const std::optional<NodeCall> call = read_node_call("--to", arguments.to, arguments.deadline);
  if (!call) return ExitCode::kUsage;
  const std::optional<integration::LoadedConfig> loaded = load(arguments.config);
  if (!loaded) return ExitCode::kUsage;
  const integration::NodeOptions options = client_options(loaded->config, "send", arguments.to);
  Result<Cargo> cargo = arguments.file == "recorded" ? encode_recorded(options) : encode_file(arguments.file, options);
  if (!cargo) return fail(arguments.file, cargo.error());
  const Result<Tally> tally = send_rounds(arguments, call->deadline, options, std::move(cargo).value());
  if (!tally) return fail("send to " + arguments.to, tally.error());
  return report(arguments, *tally, json);
}

}  // namespace

void add_send_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("send", "hand the KV of a safetensors file to a daemon");
  const auto arguments = std::make_shared<SendArguments>();  // lives as long as the callback
  command->add_option("--to", arguments->to, "host:port of the daemon's data port")->required();
  command
      ->add_option("FILE", arguments->file,
                   "safetensors with k and v [layers, tokens, kv_heads, head_dim], or: recorded")
      ->required();
  command->add_option("--deadline", arguments->deadline, "of each round, as 500ms, 2s or 1m");
  command->add_option("--repeat", arguments->repeat, "rounds")->check(CLI::Range(1, 1'000'000));
  add_config_arguments(*command, arguments->config);
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return send(*arguments, invocation.json); };
  });
}

}  // namespace sluice::programs
