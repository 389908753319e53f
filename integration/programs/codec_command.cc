// `sluice codec encode|decode|inspect`: tensors of a KV cache (safetensors) to a .slk file and back, without a node.
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "integration/file_output.h"
#include "integration/kv_container.h"
#include "integration/mapped_file.h"
#include "integration/programs/command_line.h"
#include "integration/safetensors.h"
#include "integration/unit_coder.h"

namespace sluice::programs {
namespace {

using integration::MappedFile;

constexpr std::uint64_t kGibibyte = std::uint64_t{1} << 30;
/// Levels by the name of their last part.
constexpr std::array kLevels = {Part::kRaw,  Part::kLossless,    Part::kInt8,
                                Part::kBase, Part::kRefinement1, Part::kRefinement2};

/// What was typed after `sluice codec VERB`.
struct CodecArguments {
  std::string in;
  std::string out;
  std::string level;
  std::uint64_t chunk_tokens = 256;
  std::uint64_t group_layers = 6;
  std::uint64_t most_gibibytes = 16;
};

std::vector<std::string> level_names() {
  std::vector<std::string> names;
  for (const Part level : kLevels) names.emplace_back(integration::part_name(level));
  return names;
}

Part level_named(std::string_view name) {
  for (const Part level : kLevels) {
    if (integration::part_name(level) == name) return level;
  }
  return Part::kLossless;
}

double bits_per_value(std::uint64_t bytes, const kernels::KvShape& shape) {
  const auto values = static_cast<double>(shape.raw_bytes().count()) / static_cast<double>(dtype_size(shape.dtype));
  return static_cast<double>(bytes) * 8.0 / values;
}

void tell(bool json, const char* verb, const kernels::KvShape& shape, Part level, std::uint64_t file_bytes) {
  const std::string name(integration::part_name(level));
  const double bits = bits_per_value(file_bytes, shape);
  if (json) {
    const nlohmann::json told = {
        {"layers", shape.layers.count()},         {"tokens", shape.tokens.count()}, {"level", name},
        {"raw_bytes", shape.raw_bytes().count()}, {"file_bytes", file_bytes},       {"file_bits_per_value", bits}};
    std::printf("%s\n", told.dump().c_str());
    return;
  }
  std::printf("%s %llu layers x %llu tokens, level %s: raw %llu bytes, file %llu bytes, %.3f bits per value\n", verb,
              static_cast<unsigned long long>(shape.layers.count()),
              static_cast<unsigned long long>(shape.tokens.count()), name.c_str(),
              static_cast<unsigned long long>(shape.raw_bytes().count()), static_cast<unsigned long long>(file_bytes),
              bits);
}

Result<void> encode(const CodecArguments& arguments, bool json) {
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  SLUICE_ASSIGN(const MappedFile in, MappedFile::open(arguments.in));
  SLUICE_ASSIGN(const integration::KvTensors tensors, integration::read_kv_tensors(in.bytes()));
  SLUICE_ASSIGN(const integration::KvPlanes planes, integration::planes_of(tensors));
  integration::KvContainerOptions options;
  options.rope = tensors.rope;
  options.first_position = tensors.first_position;
  options.chunk_tokens = Tokens(arguments.chunk_tokens);
  options.group_layers = Layers(arguments.group_layers);
  options.level = level_named(arguments.level);
  SLUICE_ASSIGN(const std::vector<std::byte> file, integration::encode_planes(kernels, planes, options));
  SLUICE_TRY(integration::replace_file(arguments.out, file));
  tell(json, "encoded", planes.shape(), options.level, file.size());
  return {};
}

Result<void> decode(const CodecArguments& arguments, bool json) {
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  SLUICE_ASSIGN(const MappedFile in, MappedFile::open(arguments.in));
  SLUICE_ASSIGN(const codec::ContainerView view, codec::ContainerView::open(kernels, in.bytes()));
  SLUICE_ASSIGN(Part level, integration::level_of(view));
  if (!arguments.level.empty()) level = level_named(arguments.level);
  SLUICE_ASSIGN(const integration::DecodedPlanes decoded,
                integration::decode_planes(kernels, view, level, Bytes(arguments.most_gibibytes * kGibibyte)));
  const std::vector<std::byte> file = integration::write_kv_tensors(
      {decoded.planes.shape(), view.header().rope, decoded.first_position, decoded.planes.k(), decoded.planes.v()});
  SLUICE_TRY(integration::replace_file(arguments.out, file));
  tell(json, "decoded", decoded.planes.shape(), level, in.bytes().size());
  return {};
}

/// Frames and bytes of one part in a file.
struct PartTotal {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
};

std::map<Part, PartTotal> totals_of(const codec::ContainerView& view) {
  std::map<Part, PartTotal> totals;
  for (std::uint64_t i = 0; i < view.frames(); ++i) {
    PartTotal& total = totals[view.key_at(i).part];
    ++total.frames;
    total.bytes += view.frame_at(i).size();
  }
  return totals;
}

nlohmann::json header_json(const codec::ContainerHeader& header) {
  constexpr std::array<const char*, 3> kStyles = {"none", "pairs", "halves"};
  constexpr std::array<const char*, 5> kDTypes = {"f32", "f16", "bf16", "e4m3", "e5m2"};
  std::array<char, 17> model{};
  std::snprintf(model.data(), model.size(), "%016llx", static_cast<unsigned long long>(header.model.value()));
  return {{"layers", header.shape.layers.count()},
          {"tokens", header.shape.tokens.count()},
          {"kv_heads", header.shape.kv_heads.count()},
          {"head_dim", header.shape.head_dim.count()},
          {"dtype", kDTypes.at(static_cast<std::size_t>(header.shape.dtype))},
          {"rope", kStyles.at(static_cast<std::size_t>(header.rope.style))},
          {"rope_dims", header.rope.dims},
          {"rope_base", header.rope.base},
          {"chunk_tokens", header.chunk_tokens.count()},
          {"group_layers", header.group_layers.count()},
          {"model", model.data()}};
}

Result<void> inspect(const CodecArguments& arguments, bool json) {
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  SLUICE_ASSIGN(const MappedFile in, MappedFile::open(arguments.in));
  SLUICE_ASSIGN(const codec::ContainerView view, codec::ContainerView::open(kernels, in.bytes()));
  SLUICE_TRY(integration::KvPlanes::size_of(view.header().shape));
  const Result<Part> level = integration::level_of(view);
  nlohmann::json told = header_json(view.header());
  told["level"] = level ? std::string(integration::part_name(*level)) : "incomplete";
  told["file_bytes"] = in.bytes().size();
  told["raw_bytes"] = view.header().shape.raw_bytes().count();
  nlohmann::json parts = nlohmann::json::array();
  for (const auto& [part, total] : totals_of(view)) {
    parts.push_back({{"part", integration::part_name(part)},
                     {"frames", total.frames},
                     {"bytes", total.bytes},
                     {"bits_per_value", bits_per_value(total.bytes, view.header().shape)}});
  }
  if (json) {
    told["parts"] = parts;
    std::printf("%s\n", told.dump().c_str());
    return {};
  }
  for (const auto& [key, value] : told.items()) {
    std::printf("%-14s %s\n", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
  for (const auto& row : parts) {
    std::printf("part %-12s %8llu frames %12llu bytes %8.3f bits per value\n", row["part"].get<std::string>().c_str(),
                row["frames"].get<unsigned long long>(), row["bytes"].get<unsigned long long>(),
                row["bits_per_value"].get<double>());
  }
  return {};
}

using Verb = Result<void>(const CodecArguments& arguments, bool json);

/// Runs one verb and tells what went wrong in one line.
ExitCode run(Verb& verb, const char* name, const CodecArguments& arguments, bool json) {
  const Result<void> outcome = verb(arguments, json);
  if (outcome) return ExitCode::kOk;
  return fail(std::string("codec ") + name + " " + arguments.in, outcome.error());
}

CLI::App* add_verb(CLI::App& codec, const char* name, const char* text, CodecArguments& arguments) {
  CLI::App* command = codec.add_subcommand(name, text);
  command->add_option("IN", arguments.in, "file to read")->required();
  return command;
}

}  // namespace

void add_codec_command(CLI::App& app, Invocation& invocation) {
  CLI::App* codec = app.add_subcommand("codec", "encode, decode or inspect KV tensors in files");
  codec->require_subcommand(1);
  const auto arguments = std::make_shared<CodecArguments>();  // lives as long as the callbacks that share it
  const auto bind = [&invocation, arguments](CLI::App* command, Verb& verb, const char* name) {
    command->callback([&invocation, arguments, &verb, name] {
      invocation.run = [&invocation, arguments, &verb, name] { return run(verb, name, *arguments, invocation.json); };
    });
  };

  CLI::App* encoding = add_verb(*codec, "encode", "safetensors with k and v to a .slk file", *arguments);
  encoding->add_option("OUT", arguments->out, ".slk file to write")->required();
  encoding->add_option("--level", arguments->level, "what to keep (lossless)")->check(CLI::IsMember(level_names()));
  encoding->add_option("--chunk-tokens", arguments->chunk_tokens, "tokens of one unit")->check(CLI::Range(1, 4096));
  encoding->add_option("--group-layers", arguments->group_layers, "layers of one unit")->check(CLI::Range(1, 4096));
  bind(encoding, encode, "encode");

  CLI::App* decoding = add_verb(*codec, "decode", ".slk file to safetensors with k and v", *arguments);
  decoding->add_option("OUT", arguments->out, "safetensors file to write")->required();
  decoding->add_option("--level", arguments->level, "level to decode (the best there is)")
      ->check(CLI::IsMember(level_names()));
  decoding->add_option("--most-gib", arguments->most_gibibytes, "refuse larger tensors")->check(CLI::Range(1, 1024));
  bind(decoding, decode, "decode");

  bind(add_verb(*codec, "inspect", "what a .slk file holds", *arguments), inspect, "inspect");
  add_calibrate_command(*codec, invocation);
  add_compare_command(*codec, invocation);
}

}  // namespace sluice::programs
