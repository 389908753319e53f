// `sluice codec inspect`: what a .slk or .slp file holds, and where its bytes go.
#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "codec/container.h"
#include "codec/inspection.h"
#include "integration/kv_container.h"
#include "integration/mapped_file.h"
#include "integration/profile_file.h"
#include "integration/programs/codec_files.h"
#include "integration/unit_coder.h"

namespace sluice::programs {
namespace {

using integration::MappedFile;
using nlohmann::json;

constexpr std::array<const char*, 3> kStyles = {"none", "pairs", "halves"};
constexpr std::array<const char*, 4> kScalings = {"none", "linear", "llama3", "yarn"};
constexpr std::array<const char*, 5> kDTypes = {"f32", "f16", "bf16", "e4m3", "e5m2"};
constexpr std::array<const char*, 4> kTiers = {"T0", "T1", "T2", "T3"};

std::string hex(ContentHash hash) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash.value()));
  return text.data();
}

void add_rope(const kernels::RopeSpec& rope, json& told) {
  told["rope"] = kStyles.at(static_cast<std::size_t>(rope.style));
  told["rope_dims"] = rope.dims;
  told["rope_base"] = rope.base;
  told["rope_scaling"] = kScalings.at(static_cast<std::size_t>(rope.scaling.kind));
  if (rope.local_period != 0) {
    told["rope_local_base"] = rope.local_base;
    told["rope_local_period"] = rope.local_period;
  }
}

json header_json(const codec::ContainerHeader& header) {
  json told = {{"layers", header.shape.layers.count()},
               {"tokens", header.shape.tokens.count()},
               {"kv_heads", header.shape.kv_heads.count()},
               {"head_dim", header.shape.head_dim.count()},
               {"dtype", kDTypes.at(static_cast<std::size_t>(header.shape.dtype))},
               {"chunk_tokens", header.chunk_tokens.count()},
               {"group_layers", header.group_layers.count()},
               {"model", hex(header.model)}};
  add_rope(header.rope, told);
  return told;
}

/// Frames and bytes of one part in a file.
struct PartTotal {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::map<std::string, std::uint64_t> sections;
};

Result<std::map<Part, PartTotal>> totals_of(const kernels::KernelTable& kernels, const codec::ContainerView& view) {
  std::map<Part, PartTotal> totals;
  for (std::uint64_t i = 0; i < view.frames(); ++i) {
    SLUICE_ASSIGN(const codec::FrameView frame, codec::parse_frame(kernels, view.frame_at(i)));
    SLUICE_ASSIGN(const std::vector<codec::SectionSize> sections, codec::frame_sections(frame));
    PartTotal& total = totals[view.key_at(i).part];
    ++total.frames;
    total.bytes += view.frame_at(i).size();
    for (const codec::SectionSize& section : sections)
      total.sections[std::string(section.name)] += section.size.count();
  }
  return totals;
}

json quality_json(const codec::StageQuality& quality) {
  return {{"bits_per_value", quality.bits_per_value}, {"kl_mean", quality.kl_mean}, {"kl_p99", quality.kl_p99}};
}

/// What the profile says of the level that the file was made with, and of as many stages as it holds.
Result<void> add_profile(const codec::FrameHeader& header, const codec::Profile* profile, std::uint64_t stages,
                         json& told) {
  told["profile"] = header.has_profile() ? hex(header.profile) : "none";
  if (!header.has_profile() || profile == nullptr) return {};
  if (profile->id() != header.profile) return Error{ErrorCode::kProfileMismatch, 0, "profile of the file"};
  if (header.level >= profile->contents().levels.size()) return Error{ErrorCode::kBadField, 0, "level of the profile"};
  const codec::ProfileLevel& level = profile->contents().levels[header.level];
  told["tier"] = kTiers.at(static_cast<std::size_t>(profile->contents().tier));
  told["profile_level"] = level.name;
  if (stages >= 1 && stages <= level.stages.count()) told["expected"] = quality_json(level.quality[stages - 1]);
  return {};
}

void print_text(const json& told, const char* rows_key) {
  for (const auto& [key, value] : told.items()) {
    if (key == rows_key) continue;
    std::printf("%-16s %s\n", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  }
  for (const auto& row : told[rows_key]) std::printf("%s\n", row.dump().c_str());
}

Result<void> inspect_container(const kernels::KernelTable& kernels, std::span<const std::byte> file,
                               const codec::Profile* profile, json& told) {
  SLUICE_ASSIGN(const codec::ContainerView view, codec::ContainerView::open(kernels, file));
  SLUICE_TRY(integration::KvPlanes::size_of(view.header().shape));
  SLUICE_ASSIGN(const auto totals, totals_of(kernels, view));
  const Result<Part> level = integration::level_of(view);
  told = header_json(view.header());
  told["level"] = level ? std::string(integration::part_name(*level)) : "incomplete";
  told["file_bytes"] = file.size();
  told["file_bits_per_value"] = bits_per_value(file.size(), view.header().shape);
  told["raw_bytes"] = view.header().shape.raw_bytes().count();
  std::uint64_t frame_bytes = 0;
  json parts = json::array();
  for (const auto& [part, total] : totals) {
    frame_bytes += total.bytes;
    parts.push_back({{"part", integration::part_name(part)},
                     {"frames", total.frames},
                     {"bytes", total.bytes},
                     {"bits_per_value", bits_per_value(total.bytes, view.header().shape)},
                     {"sections", total.sections}});
  }
  told["directory_bytes"] = file.size() - frame_bytes;
  told["parts"] = parts;
  if (view.frames() == 0) return {};
  SLUICE_ASSIGN(const codec::FrameView first, codec::parse_frame(kernels, view.frame_at(0)));
  const std::uint64_t stages = level && *level <= Part::kRefinement2 ? static_cast<std::uint64_t>(*level) + 1 : 0;
  return add_profile(first.header, profile, stages, told);
}

Result<void> inspect_profile(const kernels::KernelTable& kernels, std::span<const std::byte> file, json& told) {
  SLUICE_ASSIGN(const codec::Profile profile, codec::Profile::parse(kernels, file));
  const codec::ProfileContents& contents = profile.contents();
  told = {{"profile", hex(profile.id())},
          {"tier", kTiers.at(static_cast<std::size_t>(contents.tier))},
          {"layers", contents.layers.count()},
          {"kv_heads", contents.kv_heads.count()},
          {"head_dim", contents.head_dim.count()},
          {"model", hex(contents.model)},
          {"layers_back", contents.layers_back},
          {"intra_every", contents.intra_every},
          {"token_classes", {contents.lowest_class, contents.lowest_class + contents.token_classes - 1}},
          {"file_bytes", file.size()}};
  add_rope(contents.rope, told);
  json sections = json::object();
  for (const codec::SectionSize& section : codec::profile_sections(profile)) {
    sections[std::string(section.name)] = section.size.count();
  }
  told["sections"] = sections;
  json levels = json::array();
  for (const codec::ProfileLevel& level : contents.levels) {
    json stages = json::array();
    for (std::size_t i = 0; i < level.stages.count(); ++i) stages.push_back(quality_json(level.quality[i]));
    levels.push_back({{"level", level.name}, {"step", level.step}, {"stages", stages}});
  }
  told["levels"] = levels;
  return {};
}

}  // namespace

double bits_per_value(std::uint64_t bytes, const kernels::KvShape& shape) {
  const auto values = static_cast<double>(shape.raw_bytes().count()) / static_cast<double>(dtype_size(shape.dtype));
  return static_cast<double>(bytes) * 8.0 / values;
}

Result<void> inspect_file(const CodecArguments& arguments, bool is_json) {
  const kernels::KernelTable& kernels = kernels::available_kernels().front();
  SLUICE_ASSIGN(const std::optional<codec::Profile> profile, integration::read_profile(kernels, arguments.profile));
  SLUICE_ASSIGN(const MappedFile in, MappedFile::open(arguments.in));
  std::uint32_t magic = 0;
  if (in.bytes().size() >= sizeof(magic)) std::memcpy(&magic, in.bytes().data(), sizeof(magic));
  const bool is_profile = magic == codec::kProfileMagic;
  json told;
  SLUICE_TRY(is_profile ? inspect_profile(kernels, in.bytes(), told)
                        : inspect_container(kernels, in.bytes(), profile ? &*profile : nullptr, told));
  if (is_json) {
    std::printf("%s\n", told.dump().c_str());
  } else {
    print_text(told, is_profile ? "levels" : "parts");
  }
  return {};
}

}  // namespace sluice::programs
