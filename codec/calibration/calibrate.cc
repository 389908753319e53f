#include "codec/calibration/calibrate.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "codec/calibration/model_fit.h"

namespace sluice::codec::calibration {
namespace {

/// Predictors learn on what this level decodes.
constexpr const char* kTeachingLevel = "default";
/// Shares of the whole time, about: reading moments, fitting; levels share the rest.
constexpr double kMomentsShare = 0.1;
constexpr double kFitShare = 0.4;

Error stopped() { return Error{ErrorCode::kAborted, 0, "calibration"}; }

/// One run.
struct Run {
  const kernels::KernelTable* kernels;
  std::span<const Dump> dumps;
  const CalibrationOptions* options;
  CalibrationWatch* watch;
  ModelMoments moments;

  std::size_t layers() const { return moments.layers.size(); }
  bool goes_on(const char* phase, double first, double last, std::size_t done) const {
    const double share = first + (last - first) * static_cast<double>(done) / static_cast<double>(layers());
    return watch->on_progress(phase, share);
  }
};

Result<void> check(std::span<const Dump> dumps, const CalibrationOptions& options) {
  if (!find_shape_fault(dumps).empty()) return Error{ErrorCode::kIncompatibleLayout, 0, "dumps"};
  const bool is_predicted = options.tier == Tier::kPredicted;
  if (is_predicted && (options.layers_back > kMaxLayersBack || options.intra_every == 0)) {
    return Error{ErrorCode::kInvalidArgument, 0, "prediction"};
  }
  if (options.levels.empty() || options.levels.size() > kMaxProfileLevels) {
    return Error{ErrorCode::kInvalidArgument, 0, "levels"};
  }
  for (const LevelTarget& level : options.levels) {
    const bool is_sound =
        std::isfinite(level.kl) && level.kl > 0 && level.stages >= Stages(1) && level.stages <= Stages(kNestedStages);
    if (!is_sound) return Error{ErrorCode::kInvalidArgument, 0, "levels"};
  }
  for (const CurvePoint& point : options.measured) {
    if (!(point.step > 0) || !(point.kl_mean > 0)) return Error{ErrorCode::kInvalidArgument, 0, "measured curve"};
  }
  return {};
}

Result<void> find_moments(Run& run) {
  DumpReader reader(*run.kernels);
  run.moments.shape = run.dumps.front().shape;
  run.moments.layers.resize(run.dumps.front().shape.layers.count());
  run.moments.source = source_of(run.dumps);
  for (std::uint32_t layer = 0; layer < run.layers(); ++layer) {
    if (!run.goes_on("moments", 0, kMomentsShare, layer)) return stopped();
    if (!add_layer_moments(reader, run.dumps, run.moments, LayerIndex(layer))) {
      return Error{ErrorCode::kUnsupported, 0, "NaN or infinity in a dump"};
    }
  }
  finish_moments(run.moments);
  return {};
}

ProfileContents empty_contents(const Run& run) {
  ProfileContents contents;
  contents.tier = run.options->tier;
  contents.layers = run.moments.shape.layers;
  contents.kv_heads = run.moments.shape.kv_heads;
  contents.head_dim = run.moments.shape.head_dim;
  contents.rope = run.dumps.front().rope;
  contents.model = run.options->model;
  if (contents.tier == Tier::kPredicted) {
    contents.layers_back = run.options->layers_back;
    contents.intra_every = run.options->intra_every;
  }
  size_contents(contents);
  return contents;
}

/// Whole numbers, at least 1, that sum to 256, in proportion to how often a class occurs.
std::vector<std::uint16_t> frequencies_of(const Eigen::VectorXi& classes) {
  constexpr int kClassesOfTokens = kCoarsestClass - kFinestClass + 1;
  constexpr double kSlots = 256;
  std::vector<double> counts(kClassesOfTokens, 0.0);
  for (Eigen::Index token = 0; token < classes.size(); ++token)
    ++counts[static_cast<std::size_t>(classes(token) - kFinestClass)];
  std::vector<std::uint16_t> slots(counts.size(), 1);
  for (int left = static_cast<int>(kSlots) - kClassesOfTokens; left > 0; --left) {
    std::size_t best = 0;
    double most = -1;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const double gain = (counts[i] + 1e-9) / static_cast<double>(slots[i]);
      if (gain > most) {
        most = gain;
        best = i;
      }
    }
    ++slots[best];
  }
  return slots;
}

/// Bits of the classes of all tokens.
double class_bits(const ProfileContents& contents, const std::vector<Eigen::VectorXi>& classes) {
  double bits = 0;
  for (std::size_t layer = 0; layer < classes.size(); ++layer) {
    for (Eigen::Index token = 0; token < classes[layer].size(); ++token) {
      const auto index = static_cast<std::size_t>(classes[layer](token) - kFinestClass);
      bits += 8 - std::log2(contents.class_frequencies[layer * contents.token_classes + index]);
    }
  }
  return bits;
}

}  // namespace

Result<CalibrationOutcome> calibrate(const kernels::KernelTable& kernels, std::span<const Dump> dumps,
                                     const CalibrationOptions& options, CalibrationWatch& watch) {
  SLUICE_TRY(check(dumps, options));
  Run run{&kernels, dumps, &options, &watch, {}};
  SLUICE_TRY(find_moments(run));

  std::vector<ProfileLevel> levels;
  for (const LevelTarget& target : options.levels) {
    ProfileLevel level;
    level.name = target.name;
    level.stages = target.stages;
    level.step = step_for(target.kl, kl_at_unit_step(run.moments, dumps), points_for(target.stages, options.measured));
    levels.push_back(level);
  }
  const auto teaching = std::ranges::find(levels, kTeachingLevel, &ProfileLevel::name);
  const float teaching_step = (teaching == levels.end() ? levels[levels.size() / 2] : *teaching).step;

  Corpus corpus(kernels, dumps);
  const CodeBook book;
  CalibrationOutcome outcome;
  ProfileContents& contents = outcome.contents;
  contents = empty_contents(run);
  ModelFit fit(corpus, book, run.moments, teaching_step);
  for (std::uint32_t layer = 0; layer < run.layers(); ++layer) {
    if (!run.goes_on("transforms", kMomentsShare, kFitShare, layer)) return stopped();
    fit.fit_layer(LayerIndex(layer), contents);
    const std::vector<std::uint16_t> slots = frequencies_of(fit.classes()[layer]);
    contents.class_frequencies.insert(contents.class_frequencies.end(), slots.begin(), slots.end());
  }
  outcome.has_token_classes = std::ranges::any_of(contents.classifier, [](float x) { return x != 0; });
  if (!outcome.has_token_classes) {
    contents.classifier.clear();
    contents.classifier_scales.clear();
  }

  const double values =
      static_cast<double>(corpus.tokens()) * static_cast<double>(contents.streams() * contents.width());
  const double side_bits = class_bits(contents, fit.classes());
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const double each = (1 - kFitShare) / static_cast<double>(levels.size());
    LevelSweep sweep(corpus, book, contents, levels[i]);
    for (std::uint32_t layer = 0; layer < run.layers(); ++layer) {
      const double first = kFitShare + each * static_cast<double>(i);
      if (!run.goes_on(levels[i].name.c_str(), first, first + each, layer)) return stopped();
      sweep.sweep_layer(LayerIndex(layer), fit.classes()[layer]);
    }
    ProfileLevel level = sweep.take_level();
    double step = level.step;
    for (std::size_t stage = 0; stage < level.stages.count(); ++stage, step /= 3) {
      StageQuality& quality = level.quality[stage];
      quality.bits_per_value = static_cast<float>((sweep.cost()[stage].bits + side_bits) / values);
      quality.kl_mean = static_cast<float>(kl_at_unit_step(run.moments, dumps) * step * step);
    }
    state_measured(options.measured, level);
    contents.levels.push_back(std::move(level));
  }
  outcome.source = run.moments.source;
  outcome.tokens = static_cast<std::uint64_t>(corpus.tokens());
  return outcome;
}

}  // namespace sluice::codec::calibration
