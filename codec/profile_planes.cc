#include "codec/profile_planes.h"

#include <algorithm>
#include <span>

#include "base/assert.h"
#include "codec/coefficient_class.h"
#include "codec/plane_fit.h"

namespace sluice::codec {
namespace {

// Where a coarser stage was silent its index is not the value's own, and a refinement moves by one step at most, which
// every context can say.
void keep_within_reach(std::span<const std::int16_t> coarse, std::int32_t most, std::span<std::int16_t> fine) {
  for (std::size_t i = 0; i < fine.size(); ++i) {
    const std::int32_t from = 3 * coarse[i];
    fine[i] = static_cast<std::int16_t>(std::clamp<std::int32_t>(fine[i], from - most, from + most));
  }
}

}  // namespace

std::vector<kernels::RansTable> make_token_class_tables(const ProfileContents& contents) {
  std::vector<kernels::RansTable> tables(contents.layers.count());
  const std::size_t classes = contents.token_classes;
  for (std::size_t layer = 0; layer < tables.size(); ++layer) {
    const auto row = std::span(contents.class_frequencies).subspan(layer * classes, classes);
    SLUICE_ASSERT(make_rans_table(row, tables[layer]));
  }
  return tables;
}

ProfilePlanes::ProfilePlanes(const kernels::KernelTable& kernels, const Profile& profile, std::size_t level)
    : kernels_(&kernels),
      profile_(&profile),
      level_(level),
      signal_(kernels, profile),
      classifier_(kernels, profile),
      token_class_tables_(make_token_class_tables(profile.contents())) {}

void ProfilePlanes::start(const ProfileUnit& unit) {
  unit_ = unit;
  const std::size_t size = profile_->contents().width() * unit.tokens;
  for (auto& plane : coefficients_) plane.resize(size);
  for (auto& plane : indices_) plane.resize(size);
  places_.resize(size);
  token_classes_.resize(unit.tokens);
  if (profile_->contents().tier != Tier::kPredicted) return;
  predicted_.resize(size);
  decoded_.resize(2 * unit.layers * size);
}

void ProfilePlanes::load_layer(std::size_t layer, std::span<const float> k, std::span<const float> v) {
  const std::size_t number = unit_.first_layer + layer;
  signal_.forward_weighted({2 * number, unit_.tokens}, k, coefficients_[0]);
  signal_.forward_weighted({2 * number + 1, unit_.tokens}, v, coefficients_[1]);
  classifier_.classify({.layer = number,
                        .k = coefficients_[0],
                        .v = coefficients_[1],
                        .first_position = unit_.first_position,
                        .request_tokens = unit_.request_tokens},
                       unit_.fine_newest, token_classes_);
  group_by_class(token_classes_, profile_->contents().token_classes, groups_);
}

Result<CodedPlane> ProfilePlanes::code(std::size_t stream) {
  const std::size_t number = 2 * unit_.first_layer + stream;
  const std::span<float> y = coefficients_[stream % 2];
  const bool predicts = profile_->contents().tier == Tier::kPredicted;
  if (predicts) {
    signal_.predict({number, unit_.tokens}, decoded_, 2 * unit_.first_layer, predicted_);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] -= predicted_[i];
  }
  SLUICE_TRY(quantize(number, y));
  if (predicts) close_loop(stream, std::span(decoded_).subspan(stream * y.size(), y.size()));
  CodedPlane plane{.groups = &groups_};
  for (std::size_t stage = 0; stage < profile_->contents().levels[level_].stages.count(); ++stage) {
    plane.classes[stage] = profile_->classes(level_, stage, number);
    plane.indices[stage] = indices_[stage];
  }
  if (stream % 2 == 0 && profile_->contents().token_classes > 1) {
    plane.token_classes = token_classes_;
    plane.token_class_table = &token_class_tables_[number / 2];
  }
  return plane;
}

Result<void> ProfilePlanes::quantize(std::size_t stream, std::span<const float> y) {
  const std::size_t tokens = unit_.tokens;
  const std::size_t width = profile_->contents().width();
  const float step = profile_->contents().levels[level_].step;
  kernels_->reorder(y, groups_.token_at, places_);
  for (std::size_t group = 0; group < groups_.groups; ++group) {
    if (groups_.count(group) == 0) continue;
    const float scale = 1.0F / (step * token_scale(profile_->contents().lowest_class + static_cast<int>(group)));
    for (std::size_t channel = 0; channel < width; ++channel) {
      const std::size_t offset = channel * tokens + groups_.first[group];
      SLUICE_TRY(quantize_piece(stream, offset, scale, group));
    }
  }
  return {};
}

Result<void> ProfilePlanes::quantize_piece(std::size_t stream, std::size_t offset, float scale, std::size_t group) {
  const ProfileContents& contents = profile_->contents();
  const std::size_t stages = contents.levels[level_].stages.count();
  const std::size_t channel = offset / unit_.tokens;
  const std::size_t count = groups_.count(group);
  const std::span<const float> values = std::span(places_).subspan(offset, count);
  const auto class_at = [&](std::size_t stage) {
    return profile_->classes(level_, stage, stream)[group * contents.width() + channel];
  };
  const auto part = [&](std::size_t stage) { return std::span(indices_[stage]).subspan(offset, count); };
  bool follows_silence = class_at(0) == kSilentClass;
  const float largest =
      stages == 1 && !follows_silence
          ? kernels_->quantize_priced(values, {.scale = scale, .prices = prices_.of(class_at(0))}, part(0))
          : kernels_->quantize(values, {.mean = 0, .scale = scale * kFinestScale}, {part(0), part(1), part(2)});
  if (follows_silence) std::ranges::fill(part(0), std::int16_t{0});
  for (std::size_t stage = 1; stage < stages; ++stage) {
    const bool is_silent = class_at(stage) == kSilentClass;
    follows_silence = follows_silence || is_silent;
    if (follows_silence) keep_within_reach(part(stage - 1), is_silent ? 0 : 1, part(stage));
  }
  constexpr float kMargin = 2;
  const float reach = static_cast<float>(kernels::kLargestIndex) / (stages == 1 ? 1.0F : kFinestScale) - kMargin;
  if (!(largest * scale <= reach)) return Error{ErrorCode::kUnsupported, 0, "value beyond the profile's steps"};
  return {};
}

void ProfilePlanes::close_loop(std::size_t stream, std::span<float> y) {
  const ProfileLevel& level = profile_->contents().levels[level_];
  signal_.rebuild(
      {.indices = indices_[0], .groups = &groups_, .step = level.step, .unit_magnitude = level.unit_magnitude}, y);
  SLUICE_ASSERT(stream < 2 * unit_.layers);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += predicted_[i];
}

}  // namespace sluice::codec
