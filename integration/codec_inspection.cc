#include "integration/codec_inspection.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <map>

#include "codec/container.h"
#include "codec/inspection.h"
#include "codec/part_name.h"
#include "integration/kv_container.h"

namespace sluice::integration {
namespace {

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

Result<void> inspect_container(const kernels::KernelTable& kernels, std::span<const std::byte> file,
                               const codec::Profile* profile, json& told) {
  SLUICE_ASSIGN(const codec::ContainerView view, codec::ContainerView::open(kernels, file));
  SLUICE_TRY(KvPlanes::size_of(view.header().shape));
  SLUICE_ASSIGN(const auto totals, totals_of(kernels, view));
  const Result<Part> level = level_of(view);
  told = header_json(view.header());
  told["level"] = level ? std::string(codec::part_name(*level)) : "incomplete";
  told["file_bytes"] = file.size();
  told["file_bits_per_value"] = bits_per_value(file.size(), view.header().shape);
  told["raw_bytes"] = view.header().shape.raw_bytes().count();
  std::uint64_t frame_bytes = 0;
  json parts = json::array();
  for (const auto& [part, total] : totals) {
    frame_bytes += total.bytes;
    parts.push_back({{"part", codec::part_name(part)},
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

bool is_profile_file(std::span<const std::byte> file) {
  std::uint32_t magic = 0;
  if (file.size() >= sizeof(magic)) std::memcpy(&magic, file.data(), sizeof(magic));
  return magic == codec::kProfileMagic;
}

Result<json> inspect_codec_file(const kernels::KernelTable& kernels, std::span<const std::byte> file,
                                const codec::Profile* profile) {
  json told;
  SLUICE_TRY(is_profile_file(file) ? inspect_profile(kernels, file, told)
                                   : inspect_container(kernels, file, profile, told));
  return told;
}

}  // namespace sluice::integration
