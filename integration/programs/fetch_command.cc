// `sluice fetch --from HOST:PORT PROMPT OUT.safetensors`: the opposite of `send`. A node without an engine that lives
// for one command asks a daemon for the KV that it keeps of a prompt, decodes it, and writes the rows as tensors.
#include <charconv>
#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "integration/address.h"
#include "integration/engines/recorded/recording.h"
#include "integration/file_output.h"
#include "integration/mapped_file.h"
#include "integration/programs/command_line.h"
#include "integration/programs/command_node.h"
#include "integration/safetensors.h"
#include "kernels/table.h"

namespace sluice::programs {
namespace {

using nlohmann::json;

struct FetchArguments {
  std::string from;
  std::string prompt;
  std::string out;
  std::string policy = "lossless";
  std::string deadline = "10s";
  ConfigArguments config;
};

/// Whose KV is wanted.
struct Wanted {
  ContentHash model;
  std::vector<TokenId> tokens;
};

/// {"model": 16 hex digits, "tokens": [...]}
Result<Wanted> parse_prompt(std::string_view text) {
  const Error wrong{ErrorCode::kBadField, 0, "model and tokens of a prompt file"};
  const json told = json::parse(text, nullptr, false);
  if (!told.is_object() || !told.contains("model") || !told["model"].is_string()) return wrong;
  const std::string digits = told["model"].get<std::string>();
  std::uint64_t model = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), model, 16);
  if (failure != std::errc() || end != digits.data() + digits.size()) return wrong;
  if (!told.contains("tokens") || !told["tokens"].is_array() || told["tokens"].empty()) return wrong;
  Wanted wanted{ContentHash(model), {}};
  for (const json& token : told["tokens"]) {
    if (!token.is_number_unsigned() || token.get<std::uint64_t>() > std::numeric_limits<std::int32_t>::max())
      return wrong;
    wanted.tokens.emplace_back(token.get<std::int32_t>());
  }
  return wanted;
}

Result<Wanted> wanted_of(const std::string& prompt) {
  constexpr std::string_view kCount = "tokens:";
  if (prompt == "recorded") {
    SLUICE_ASSIGN(const integration::recorded::Recording recording,
                  integration::recorded::load_recording(kernels::ref_kernels(), {}));
    return Wanted{recording.description.model, {recording.prompt.begin(), recording.prompt.end() - 1}};
  }
  if (!prompt.starts_with(kCount)) {
    SLUICE_ASSIGN(const integration::MappedFile file, integration::MappedFile::open(prompt));
    return parse_prompt({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
  }
  std::int32_t count = 0;
  const char* const last = prompt.data() + prompt.size();
  const auto [end, failure] = std::from_chars(prompt.data() + kCount.size(), last, count);
  if (failure != std::errc() || end != last || count < 1) return Error{ErrorCode::kInvalidArgument, 0, "tokens:N"};
  Wanted wanted;  // what `send FILE` gives a file's KV: no model, tokens 0, 1, 2 ...
  for (std::int32_t token = 0; token < count; ++token) wanted.tokens.emplace_back(token);
  return wanted;
}

Result<integration::FetchOutcome> fetch_once(const FetchArguments& arguments, Duration deadline,
                                             const integration::NodeOptions& options, Wanted wanted) {
  SLUICE_ASSIGN(const auto client, CommandNode::open(options));
  integration::FetchSpec spec;
  spec.prefix = integration::prefix_key(wanted.model, wanted.tokens);
  spec.tokens = std::move(wanted.tokens);
  spec.mode = transport::OpenMode::kReuse;
  spec.policy = arguments.policy;
  spec.deadline = client->clock().now() + deadline;
  spec.hard_limit = deadline;
  spec.quality_floor = options.quality_floor;
  spec.quality_target = options.quality_target;
  integration::FetchOutcome outcome;
  client->run([&] {
    client->node().fetch(arguments.from, std::move(spec), [&](integration::FetchOutcome ended) {
      outcome = std::move(ended);
      client->end();
    });
  });
  return outcome;
}

Result<void> write_rows(const std::string& path, const integration::FetchOutcome& outcome) {
  const integration::KvPlanes& planes = *outcome.planes;
  const std::vector<std::byte> file =
      integration::write_kv_tensors({planes.shape(), outcome.rope, TokenIndex(0), planes.k(), planes.v()});
  return integration::replace_file(path, file);
}

void report(const FetchArguments& arguments, const integration::FetchOutcome& outcome, bool is_json) {
  const auto ms = std::chrono::duration<double, std::milli>(outcome.times.decoded).count();
  if (is_json) {
    const json told = {{"tokens", outcome.planes->shape().tokens.count()},
                       {"raw_bytes", outcome.raw.count()},
                       {"wire_bytes", outcome.wire.count()},
                       {"reason", outcome.reason},
                       {"ms", ms}};
    std::printf("%s\n", told.dump().c_str());
    return;
  }
  std::printf("fetched %llu tokens from %s into %s: %llu of %llu raw bytes on the wire, %.1f ms\n",
              static_cast<unsigned long long>(outcome.planes->shape().tokens.count()), arguments.from.c_str(),
              arguments.out.c_str(), static_cast<unsigned long long>(outcome.wire.count()),
              static_cast<unsigned long long>(outcome.raw.count()), ms);
}

ExitCode fetch(const FetchArguments& arguments, bool is_json) {
  const std::optional<NodeCall> call = read_node_call("--from", arguments.from, arguments.deadline);
  if (!call) return ExitCode::kUsage;
  const std::optional<integration::LoadedConfig> loaded = load(arguments.config);
  if (!loaded) return ExitCode::kUsage;
  Result<Wanted> wanted = wanted_of(arguments.prompt);
  if (!wanted) return fail("prompt " + arguments.prompt, wanted.error());
  const Result<integration::FetchOutcome> outcome = fetch_once(
      arguments, call->deadline, client_options(loaded->config, "fetch", arguments.from), std::move(wanted).value());
  const Error error = outcome ? outcome->error : outcome.error();
  if (error.code != ErrorCode::kOk) return fail("fetch from " + arguments.from, error);
  if (const Result<void> written = write_rows(arguments.out, *outcome); !written) {
    return fail(arguments.out, written.error());
  }
  report(arguments, *outcome, is_json);
  return ExitCode::kOk;
}

}  // namespace

void add_fetch_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("fetch", "get the KV that a daemon keeps of a prompt, as safetensors");
  const auto arguments = std::make_shared<FetchArguments>();  // lives as long as the callback
  command->add_option("--from", arguments->from, "host:port of the daemon's data port")->required();
  command
      ->add_option(
          "PROMPT", arguments->prompt,
          "JSON file {\"model\": HASH, \"tokens\": [...]}, or tokens:N (N tokens that 'send' gave), or: recorded")
      ->required();
  command->add_option("OUT", arguments->out, "safetensors file to write")->required();
  command->add_option("--policy", arguments->policy, "what to ask for, as planner.policy (lossless)");
  command->add_option("--deadline", arguments->deadline, "as 500ms, 2s or 1m (10s)");
  add_config_arguments(*command, arguments->config);
  command->callback([&invocation, arguments] {
    invocation.run = [&invocation, arguments] { return fetch(*arguments, invocation.json); };
  });
}

}  // namespace sluice::programs
