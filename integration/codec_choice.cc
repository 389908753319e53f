#include "integration/codec_choice.h"

#include <algorithm>

#include "codec/frame.h"
#include "codec/part_name.h"

namespace sluice::integration {
namespace {

constexpr std::uint64_t kGroupLayers = 6;
constexpr std::string_view kDefaultLevel = "default";

Result<std::size_t> choose_level(const codec::Profile& profile, const CodingWish& wish) {
  if (!wish.level.empty()) return profile.find_level(wish.level);
  const auto& levels = profile.contents().levels;
  const auto fits = [&](const codec::ProfileLevel& level) { return level.stages.count() >= wish.stages; };
  if (wish.stages != 0) {
    const auto level = std::ranges::find_if(levels, fits);
    if (level == levels.end()) return Error{ErrorCode::kNotFound, 0, "level of so many stages"};
    return static_cast<std::size_t>(level - levels.begin());
  }
  return profile.find_level(kDefaultLevel).value_or(std::size_t{0});
}

}  // namespace

std::optional<Part> plain_level(std::string_view name) {
  const auto* const level = std::ranges::find(kPlainLevels, name, codec::part_name);
  if (level == kPlainLevels.end()) return std::nullopt;
  return *level;
}

Part last_stage(std::uint64_t stages) { return codec::kStageParts.at(stages - 1); }

Layers group_layers_of(const CodingWish& wish, const codec::Profile* profile) {
  if (wish.group_layers != 0) return Layers(wish.group_layers);
  const std::uint64_t period = profile == nullptr ? 0 : profile->contents().intra_every;
  return Layers(period != 0 ? period : kGroupLayers);
}

Result<void> choose_coding(const CodingWish& wish, const codec::Profile* profile, KvContainerOptions& options) {
  const bool stands_alone = wish.level == "raw" || wish.level == "lossless" || wish.level == "int8";
  if (wish.stages > codec::kNestedStages) return Error{ErrorCode::kInvalidArgument, 0, "stages of the level"};
  options.chunk_tokens = Tokens(wish.chunk_tokens);
  options.group_layers = group_layers_of(wish, stands_alone ? nullptr : profile);
  if (profile == nullptr || stands_alone) {
    const std::optional<Part> named = plain_level(wish.level);
    if (!named && !wish.level.empty()) return Error{ErrorCode::kNotFound, 0, "level"};
    options.level = wish.stages != 0 ? last_stage(wish.stages) : named.value_or(Part::kLossless);
    return {};
  }
  SLUICE_ASSIGN(options.profile_level, choose_level(*profile, wish));
  options.profile = profile;
  const std::uint64_t most = profile->contents().levels[options.profile_level].stages.count();
  if (wish.stages > most) return Error{ErrorCode::kInvalidArgument, 0, "stages of the level"};
  options.level = last_stage(wish.stages != 0 ? wish.stages : most);
  return {};
}

}  // namespace sluice::integration
