#include "codec/rate.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "codec/expected_costs.h"
#include "codec/expected_tops.h"
#include "codec/lossless.h"
#include "codec/mantissa_planes.h"
#include "codec/nested_encoder.h"
#include "codec/plane_columns.h"
#include "codec/plane_fit.h"
#include "codec/profile_match.h"
#include "codec/profile_signal.h"
#include "codec/token_classifier.h"
#include "codec/token_groups.h"

namespace sluice::codec {
namespace {

/// What a lane's last state holds on average of what was coded: it is stored apart from the words.
constexpr double kBitsInAState = 8;
/// Lossless: what tables that channels share, escapes, table and group numbers cost beyond the entropy of every
/// channel, in bits a value. Measured on SmolLM2-135M and Gemma-3-270M.
constexpr double kSharingBits = 0.1;

/// Mean square error, in squared steps, of a coefficient of many steps; of one of few steps its energy bounds it.
constexpr float kCoarseLoss = 0.14F;

double word_bytes(double bits, std::size_t lanes) {
  return std::max(bits - kBitsInAState * static_cast<double>(lanes), 0.0) / 8;
}

float half_log2(float variance) { return variance > 0 ? 0.5F * std::log2(variance) : -INFINITY; }

Bytes whole(double bytes) { return Bytes(static_cast<std::uint64_t>(std::llround(bytes))); }

}  // namespace

struct RatePredictor::State {
  State(const kernels::KernelTable& table, const EncoderOptions& given) : kernels(&table), options(given) {
    if (options.profile == nullptr) return;
    signal.emplace(table, *options.profile);
    classifier.emplace(table, *options.profile);
  }

  void load_plane(const kernels::UnitView& unit, std::size_t stream);
  void add_lossless(std::span<const float> columns);
  Result<void> add_fitted(std::size_t stream);
  void add_transformed(std::size_t layer, const UnitContext& context);
  void add_cells(std::size_t stream, std::span<const float> y);
  void predict_losses(std::size_t level);
  double stream_bits(std::size_t level, std::size_t stage, std::size_t stream) const;

  const kernels::KernelTable* kernels;
  EncoderOptions options;
  ExpectedCosts costs;
  ExpectedTops tops;
  std::optional<ProfileSignal> signal;
  std::optional<TokenClassifier> classifier;

  FrameHeader header;
  NestedLayout layout;
  UnitRotation rotation;
  StripScratch strip;
  PlaneFit fit;
  std::array<std::vector<float>, 2> columns;  ///< of one layer
  bool is_finite = true;
  double top_bits = 0;                        ///< of all streams
  std::array<double, kNestedStages> bytes{};  ///< without a profile: of the words of all streams

  // With a profile.
  std::vector<float> coefficients;     ///< [streams of the unit][width][coded], or one layer's without prediction
  std::vector<float> predicted;        ///< one stream
  std::vector<std::uint8_t> class_of;  ///< [coded]
  TokenGroups groups;
  std::vector<std::uint32_t> counts;  ///< [layers][token classes] tokens
  std::vector<float> energy_of;       ///< [streams][token classes][width] mean square
  std::vector<float> lost;            ///< [streams][width] with prediction: mean square of what a level's base loses
  std::vector<float> noise;           ///< [streams][width] and what that adds to what is coded
};

RatePredictor::RatePredictor(std::unique_ptr<State> state) : state_(std::move(state)) {}
RatePredictor::RatePredictor(RatePredictor&&) noexcept = default;
RatePredictor& RatePredictor::operator=(RatePredictor&&) noexcept = default;
RatePredictor::~RatePredictor() = default;

Result<RatePredictor> RatePredictor::open(const kernels::KernelTable& kernels, const EncoderOptions& options) {
  SLUICE_TRY(check_options(options));
  return RatePredictor(std::make_unique<State>(kernels, options));
}

Result<void> RatePredictor::measure(const kernels::UnitView& unit, const UnitContext& context) {
  State& state = *state_;
  if (state.options.profile != nullptr) SLUICE_TRY(check_unit_fits(*state.options.profile, unit.shape, context));
  state.header = base_header(state.options, unit.shape, context);
  state.layout = nested_layout(state.header);
  const std::size_t coded = state.layout.runs.coded();
  const std::uint64_t first_coded = context.first_position.value() + state.header.raw_tokens.count();
  state.rotation.start(state.header.rope, context.first_layer, first_coded, coded);
  for (auto& columns : state.columns) columns.resize(state.layout.indices());
  state.is_finite = true;
  state.top_bits = 0;
  state.bytes = {};
  if (const Profile* const profile = state.options.profile; profile != nullptr) {
    const std::size_t classes = profile->contents().token_classes;
    const bool predicts = profile->contents().tier == Tier::kPredicted;
    state.coefficients.resize((predicts ? state.layout.streams : 2) * state.layout.indices());
    state.predicted.resize(predicts ? state.layout.indices() : 0);
    state.class_of.resize(coded);
    state.counts.resize(unit.shape.layers.count() * classes);
    state.energy_of.resize(state.layout.streams * classes * state.layout.width);
    state.lost.resize(predicts ? state.layout.streams * state.layout.width : 0);
    state.noise.assign(state.layout.streams * state.layout.width, 0.0F);
  }
  if (coded == 0) return {};
  Result<void> outcome;
  for (std::size_t stream = 0; stream < state.layout.streams; ++stream) {
    state.load_plane(unit, stream);
    if (state.options.profile == nullptr) {
      if (outcome) outcome = state.add_fitted(stream);
    } else if (stream % 2 == 1) {
      state.add_transformed(stream / 2, context);
    }
  }
  if (!state.is_finite) return Error{ErrorCode::kUnsupported, 0, "value that is not finite"};
  return outcome;
}

void RatePredictor::State::load_plane(const kernels::UnitView& unit, std::size_t stream) {
  const bool is_key = stream % 2 == 0;
  const PlaneExtent extent{
      .kernels = kernels, .shape = &unit.shape, .range = {header.raw_tokens.count(), layout.runs.coded()}};
  std::vector<float>& plane = columns[stream % 2];
  load_columns(extent, (is_key ? unit.k : unit.v)[stream / 2], plane, strip);
  add_lossless(plane);
  if (is_key) rotate_columns(extent, rotation.turn(stream / 2, -1.0F), plane);
}

void RatePredictor::State::add_lossless(std::span<const float> plane) {
  const std::size_t coded = layout.runs.coded();
  for (; !plane.empty(); plane = plane.subspan(coded)) {
    const kernels::ColumnMoments moments = kernels->moments(plane.first(coded));
    is_finite = is_finite && moments.finite;
    if (!moments.finite) continue;
    top_bits += static_cast<double>(coded) * tops.bits(header.shape.dtype, moments.mean, std::sqrt(moments.variance));
  }
}

Result<void> RatePredictor::State::add_fitted(std::size_t stream) {
  const float relative_step = stream % 2 == 0 ? options.key_step : options.value_step;
  SLUICE_TRY(
      fit_channels(*kernels, {.columns = columns[stream % 2], .layout = layout, .relative_step = relative_step}, fit));
  const std::size_t dim = layout.width / layout.heads;
  std::array<double, kNestedStages> bits{};
  for (std::size_t channel = 0; channel < layout.width; ++channel) {
    const float step = from_bf16(fit.steps[channel / dim]);
    const float sigma = half_log2(sent_variance(fit.moments[channel], fit.means[channel])) - std::log2(step);
    const auto add = [&](std::size_t name, float log2_in_steps, std::size_t tokens) {
      const auto times = static_cast<double>(tokens);
      bits[0] += times * costs.base_bits(name, log2_in_steps, BaseRounding::kThreshold);
      for (std::size_t stage = 1; stage < bits.size(); ++stage) {
        bits[stage] += times * costs.refinement_bits(stage, name, log2_in_steps);
      }
    };
    add(fit.classes[channel], sigma, layout.runs.ordinary);
    add(fit.classes[layout.width + channel], sigma + 1, layout.runs.fine);
  }
  for (std::size_t stage = 0; stage < bits.size(); ++stage) bytes[stage] += word_bytes(bits[stage], layout.lanes);
  return {};
}

void RatePredictor::State::add_transformed(std::size_t layer, const UnitContext& context) {
  const ProfileContents& contents = options.profile->contents();
  const std::size_t number = context.first_layer.value() + layer;
  const std::size_t coded = layout.runs.coded();
  const std::size_t size = layout.indices();
  const bool predicts = contents.tier == Tier::kPredicted;
  const std::span<float> k = std::span(coefficients).subspan(predicts ? 2 * layer * size : 0, size);
  const std::span<float> v = std::span(coefficients).subspan(predicts ? (2 * layer + 1) * size : size, size);
  signal->forward({2 * number, coded}, columns[0], k);
  signal->forward({2 * number + 1, coded}, columns[1], v);
  classifier->classify({.layer = number,
                        .k = k,
                        .v = v,
                        .first_position = header.first_position.value() + header.raw_tokens.count(),
                        .request_tokens = context.request_tokens.count()},
                       options.fine_newest.count(), class_of);
  group_by_class(class_of, contents.token_classes, groups);
  for (std::size_t group = 0; group < groups.groups; ++group) {
    counts[layer * groups.groups + group] = static_cast<std::uint32_t>(groups.count(group));
  }
  for (const std::size_t side : {std::size_t{0}, std::size_t{1}}) {
    const std::span<const float> y = side == 0 ? k : v;
    if (!predicts) {
      add_cells(2 * layer + side, y);
      continue;
    }
    // Open loop: what the decoder predicts from differs by what it lost.
    signal->predict({2 * number + side, coded}, coefficients, 2 * context.first_layer.value(), predicted);
    for (std::size_t i = 0; i < size; ++i) predicted[i] = y[i] - predicted[i];
    add_cells(2 * layer + side, predicted);
  }
}

// Energy of every coefficient in every group.
void RatePredictor::State::add_cells(std::size_t stream, std::span<const float> y) {
  const std::size_t coded = layout.runs.coded();
  std::array<float, kMaxTokenClasses> energy;
  for (std::size_t channel = 0; channel < layout.width; ++channel) {
    energy.fill(0);
    const std::span<const float> column = y.subspan(channel * coded, coded);
    for (std::size_t token = 0; token < coded; ++token) energy[class_of[token]] += column[token] * column[token];
    for (std::size_t group = 0; group < groups.groups; ++group) {
      const auto count = static_cast<float>(groups.count(group));
      energy_of[(stream * groups.groups + group) * layout.width + channel] = count > 0 ? energy[group] / count : 0;
    }
  }
}

// What the bases of a level lose, stream by stream, and what is therefore left to code where it is predicted from them.
void RatePredictor::State::predict_losses(std::size_t level) {
  const ProfileContents& contents = options.profile->contents();
  const std::size_t first = 2 * header.first_layer.value();
  const std::size_t width = layout.width;
  for (std::size_t stream = 0; stream < layout.streams; ++stream) {
    const References sources = references(contents, first + stream);
    const std::span<const std::int16_t> rows = options.profile->predictor(first + stream);
    const std::span<float> added = std::span(noise).subspan(stream * width, width);
    for (std::size_t i = 0; i < width; ++i) {
      const std::int16_t* factor = rows.data() + i * sources.count * width;
      float sum = 0;
      for (std::size_t source = 0; source < sources.count; ++source) {
        const float* const error = lost.data() + (sources.streams[source] - first) * width;
        for (std::size_t j = 0; j < width; ++j, ++factor) {
          sum += static_cast<float>(*factor) * static_cast<float>(*factor) * error[j];
        }
      }
      const float scale = contents.predictor_scales[(first + stream) * width + i] * kMatrixUnit;
      added[i] = scale * scale * sum;
    }
    const std::span<float> errors = std::span(lost).subspan(stream * width, width);
    std::fill(errors.begin(), errors.end(), 0.0F);
    for (std::size_t group = 0; group < contents.token_classes; ++group) {
      const auto tokens = static_cast<float>(counts[stream / 2 * contents.token_classes + group]);
      const float scale = token_scale(contents.lowest_class + static_cast<int>(group));
      const float step = contents.levels[level].step * scale;
      const float* const energy = energy_of.data() + (stream * contents.token_classes + group) * width;
      for (std::size_t i = 0; i < width; ++i) {
        const float whole_energy = energy[i] + added[i];
        const float most = kCoarseLoss * step * step;
        errors[i] += tokens / static_cast<float>(layout.runs.coded()) * whole_energy /
                     std::sqrt(1 + whole_energy * whole_energy / (most * most));
      }
    }
  }
}

double RatePredictor::State::stream_bits(std::size_t level, std::size_t stage, std::size_t stream) const {
  const ProfileContents& contents = options.profile->contents();
  const ProfileLevel& named = contents.levels[level];
  const std::size_t number = 2 * header.first_layer.value() + stream;
  const std::size_t classes_count = contents.token_classes;
  const std::span<const std::uint8_t> classes = options.profile->classes(level, stage, number);
  const BaseRounding rounding = named.stages == Stages(1) ? BaseRounding::kRateDistortion : BaseRounding::kThreshold;
  const float log2_step = std::log2(named.step);
  double bits = 0;
  for (std::size_t group = 0; group < classes_count; ++group) {
    const std::size_t tokens = counts[stream / 2 * classes_count + group];
    if (tokens == 0) continue;
    if (stage == 0 && stream % 2 == 0) {
      const std::size_t frequency = contents.class_frequencies[number / 2 * classes_count + group];
      bits += static_cast<double>(tokens) * (8 - std::log2(static_cast<double>(frequency)));
    }
    const float log2_scale = log2_step + static_cast<float>(contents.lowest_class + static_cast<int>(group)) / 2;
    const float* const energy = energy_of.data() + (stream * classes_count + group) * layout.width;
    double sum = 0;
    for (std::size_t channel = 0; channel < layout.width; ++channel) {
      const std::uint8_t name = classes[group * layout.width + channel];
      const float sigma = half_log2(energy[channel] + noise[stream * layout.width + channel]) - log2_scale;
      sum += stage == 0 ? costs.base_bits(name, sigma, rounding) : costs.refinement_bits(stage, name, sigma);
    }
    bits += static_cast<double>(tokens) * sum;
  }
  return bits;
}

StageSizes RatePredictor::stages(std::size_t level) const {
  State& state = *state_;
  StageSizes sizes;
  const bool has_losses = !state.lost.empty() && state.layout.runs.coded() != 0;
  if (has_losses) state.predict_losses(level);
  if (state.options.profile != nullptr) sizes.stages = state.options.profile->contents().levels[level].stages.count();
  for (std::size_t stage = 0; stage < sizes.stages; ++stage) {
    FrameHeader header = state.header;
    header.part = kStageParts[stage];
    const NestedLayout layout = nested_layout(header);
    double bytes = static_cast<double>(kFrameHeaderSize + layout.words_at);
    if (state.options.profile == nullptr) bytes += state.bytes[stage];
    for (std::size_t stream = 0; state.options.profile != nullptr && stream < layout.streams; ++stream) {
      if (layout.runs.coded() != 0) bytes += word_bytes(state.stream_bits(level, stage, stream), layout.lanes);
    }
    sizes.all[stage] = whole(bytes);
  }
  return sizes;
}

Bytes RatePredictor::lossless() const {
  const kernels::KvShape& shape = state_->header.shape;
  const std::size_t coded = state_->layout.runs.coded();
  const double values = static_cast<double>(shape.tokens.count() * shape.row_values() * state_->layout.streams);
  const double measured = static_cast<double>(coded * shape.row_values() * state_->layout.streams);
  const double bits = coded == 0 ? 0 : state_->top_bits / measured + kSharingBits;
  const double most = static_cast<double>(kFrameHeaderSize + max_lossless_payload(shape));
  const auto states = static_cast<double>(4 * kernels::kRansLanes * state_->layout.streams);
  const double coded_size =
      static_cast<double>(kFrameHeaderSize) + states + values * (bits + mantissa_bits(shape.dtype)) / 8;
  return whole(std::min(coded_size, most));
}

}  // namespace sluice::codec
