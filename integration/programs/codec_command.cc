// `sluice codec encode|decode`: tensors of a KV cache (safetensors) to a .slk file and back, without a node. What files
// hold is told by codec_inspection.cc.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "codec/frame.h"
#include "codec/part_name.h"
#include "integration/codec_inspection.h"
#include "integration/file_output.h"
#include "integration/kv_container.h"
#include "integration/mapped_file.h"
#include "integration/profile_file.h"
#include "integration/programs/codec_files.h"
#include "integration/programs/command_line.h"
#include "integration/safetensors.h"
#include "integration/unit_coder.h"

namespace sluice::programs {
namespace {

using integration::MappedFile;

constexpr std::uint64_t kGibibyte = std::uint64_t{1} << 30;

std::vector<std::string> level_names() {
  std::vector<std::string> names;
  for (const Part level : integration::kPlainLevels) names.emplace_back(codec::part_name(level));
  return names;
}

/// What a file is told to be: the level of a profile, or that of its last part.
std::string name_of(Part level, const codec::Profile* profile, std::size_t profile_level) {
  std::string name(codec::part_name(level));
  return profile == nullptr ? name : profile->contents().levels[profile_level].name + "/" + name;
}

/// What was done to which rows.
struct Done {
  const char* verb;
  kernels::KvShape shape;
  std::string level;
  std::uint64_t file_bytes;
};

void tell(bool json, const Done& done) {
  const kernels::KvShape& shape = done.shape;
  const double bits = integration::bits_per_value(done.file_bytes, shape);
  if (json) {
    const nlohmann::json told = {
        {"layers", shape.layers.count()},         {"tokens", shape.tokens.count()}, {"level", done.level},
        {"raw_bytes", shape.raw_bytes().count()}, {"file_bytes", done.file_bytes},  {"file_bits_per_value", bits}};
    std::printf("%s\n", told.dump().c_str());
    return;
  }
  std::printf("%s %llu layers x %llu tokens, level %s: raw %llu bytes, file %llu bytes, %.3f bits per value\n",
              done.verb, static_cast<unsigned long long>(shape.layers.count()),
              static_cast<unsigned long long>(shape.tokens.count()), done.level.c_str(),
              static_cast<unsigned long long>(shape.raw_bytes().count()),
              static_cast<unsigned long long>(done.file_bytes), bits);
}

Result<void> encode(const CodecArguments& arguments, bool json) {
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  SLUICE_ASSIGN(const std::optional<codec::Profile> profile, integration::read_profile(kernels, arguments.profile));
  SLUICE_ASSIGN(const MappedFile in, MappedFile::open(arguments.in));
  SLUICE_ASSIGN(const integration::KvTensors tensors, integration::read_kv_tensors(in.bytes()));
  SLUICE_ASSIGN(const integration::KvPlanes planes, integration::planes_of(tensors));
  integration::KvContainerOptions options;
  options.rope = tensors.rope;
  options.first_position = tensors.first_position;
  SLUICE_TRY(integration::choose_coding(arguments, profile ? &*profile : nullptr, options));
  SLUICE_ASSIGN(const std::vector<std::byte> file, integration::encode_rows(kernels, planes.rows(), options));
  SLUICE_TRY(integration::replace_file(arguments.out, file));
  tell(json, {"encoded", planes.shape(), name_of(options.level, options.profile, options.profile_level), file.size()});
  return {};
}

Result<void> decode(const CodecArguments& arguments, bool json) {
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  SLUICE_ASSIGN(const std::optional<codec::Profile> profile, integration::read_profile(kernels, arguments.profile));
  SLUICE_ASSIGN(const MappedFile in, MappedFile::open(arguments.in));
  SLUICE_ASSIGN(const codec::ContainerView view, codec::ContainerView::open(kernels, in.bytes()));
  SLUICE_ASSIGN(Part level, integration::level_of(view));
  if (!arguments.level.empty()) level = *integration::plain_level(arguments.level);
  if (arguments.stages != 0) level = integration::last_stage(arguments.stages);
  SLUICE_ASSIGN(const integration::DecodedPlanes decoded,
                integration::decode_planes(kernels, view,
                                           {.level = level,
                                            .most = Bytes(arguments.most_gibibytes * kGibibyte),
                                            .profile = profile ? &*profile : nullptr}));
  const std::vector<std::byte> file = integration::write_kv_tensors(
      {decoded.planes.shape(), view.header().rope, decoded.first_position, decoded.planes.k(), decoded.planes.v()});
  SLUICE_TRY(integration::replace_file(arguments.out, file));
  tell(json, {"decoded", decoded.planes.shape(), std::string(codec::part_name(level)), in.bytes().size()});
  return {};
}

using Verb = Result<void>(const CodecArguments& arguments, bool json);

/// Runs one verb and tells what went wrong in one line.
ExitCode run(Verb& verb, const char* name, const CodecArguments& arguments, bool json) {
  const Result<void> outcome = verb(arguments, json);
  if (outcome) return ExitCode::kOk;
  return fail(std::string("codec ") + name + " " + arguments.in, outcome.error());
}

/// What CLI11 cannot know of two options at once.
void check(const CodecArguments& arguments) {
  if (arguments.profile.empty() && !arguments.level.empty() && !integration::plain_level(arguments.level)) {
    throw CLI::ValidationError("--level", arguments.level +
                                              " needs --profile, or is one of raw, lossless, int8, base, "
                                              "refinement1, refinement2");
  }
}

CLI::App* add_verb(CLI::App& codec, const char* name, const char* text, CodecArguments& arguments) {
  CLI::App* command = codec.add_subcommand(name, text);
  command->add_option("IN", arguments.in, "file to read")->required();
  command->add_option("--profile", arguments.profile, ".slp file of the model");
  return command;
}

}  // namespace

void add_codec_command(CLI::App& app, Invocation& invocation) {
  CLI::App* codec = app.add_subcommand("codec", "encode, decode or inspect KV tensors in files");
  codec->require_subcommand(1);
  const auto arguments = std::make_shared<CodecArguments>();  // lives as long as the callbacks that share it
  const auto bind = [&invocation, arguments](CLI::App* command, Verb& verb, const char* name) {
    command->callback([&invocation, arguments, &verb, name] {
      check(*arguments);
      invocation.run = [&invocation, arguments, &verb, name] { return run(verb, name, *arguments, invocation.json); };
    });
  };

  CLI::App* encoding = add_verb(*codec, "encode", "safetensors with k and v to a .slk file", *arguments);
  encoding->add_option("OUT", arguments->out, ".slk file to write")->required();
  encoding->add_option("--level", arguments->level,
                       "what to keep: raw, lossless, int8, base, refinement1, refinement2 (lossless); with a profile "
                       "also the name of one of its levels (default)");
  encoding->add_option("--stages", arguments->stages, "so many nested stages")->check(CLI::Range(1, 3));
  encoding->add_option("--chunk-tokens", arguments->chunk_tokens, "tokens of one unit")->check(CLI::Range(1, 4096));
  encoding->add_option("--group-layers", arguments->group_layers, "layers of one unit (6, or what the profile needs)")
      ->check(CLI::Range(1, 4096));
  bind(encoding, encode, "encode");

  CLI::App* decoding = add_verb(*codec, "decode", ".slk file to safetensors with k and v", *arguments);
  decoding->add_option("OUT", arguments->out, "safetensors file to write")->required();
  decoding->add_option("--level", arguments->level, "level to decode (the best there is)")
      ->check(CLI::IsMember(level_names()));
  decoding->add_option("--stages", arguments->stages, "only the first stages")->check(CLI::Range(1, 3));
  decoding->add_option("--most-gib", arguments->most_gibibytes, "refuse larger tensors")->check(CLI::Range(1, 1024));
  bind(decoding, decode, "decode");

  bind(add_verb(*codec, "inspect", "what a .slk or .slp file holds", *arguments), inspect_file, "inspect");
  add_calibrate_command(*codec, invocation);
  add_compare_command(*codec, invocation);
  add_rate_command(*codec, invocation);
}

}  // namespace sluice::programs
