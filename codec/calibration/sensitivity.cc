#include "codec/calibration/sensitivity.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"

namespace sluice::codec::calibration {
namespace {

/// Share of the head's mean that every channel gets besides its own: the diagonal is known from few rows only.
constexpr double kHeadShare = 0.3;
/// And of the model's mean: a head that no gradient reached still has a finite cost.
constexpr double kModelShare = 1e-4;
/// Neutral weights: K's steps are this much finer than V's, relative to the head's rms (as in tier T0).
constexpr double kKeyFiner = 2.0 / 1.1;
/// Measured KL over that of the second-order expansion: the ratio that the published prototype shows on SmolLM2-135M
/// for steps .0009-.0032. It comes from texts that the codec is also judged on, so their agreement is no check of it.
constexpr double kExpansionShortfall = 1.5;
/// Tokens whose log p a gradient row sums up, where the dump does not say.
constexpr double kUsualTargets = 160;
/// KL of T0 at a step of twice V's rms: .111 (FORMAT.md section 5).
constexpr double kNeutralKl = 0.111 / 4;
constexpr double kTiny = 1e-30;

Eigen::Index heads_of(const kernels::KvShape& shape) { return static_cast<Eigen::Index>(shape.kv_heads.count()); }
Eigen::Index head_dim_of(const kernels::KvShape& shape) { return static_cast<Eigen::Index>(shape.head_dim.count()); }

/// Sums of one plane while they grow.
struct PlaneSums {
  PerChannel sum, squares, energy;
  double tokens = 0, rows = 0;
  explicit PlaneSums(Eigen::Index width)
      : sum(PerChannel::Zero(width)), squares(PerChannel::Zero(width)), energy(PerChannel::Zero(width)) {}
};

void add_values(const Samples& samples, Eigen::Index sinks, PlaneSums& sums) {
  const auto rows = samples.bottomRows(samples.rows() - sinks);
  for (Eigen::Index channel = 0; channel < rows.cols(); ++channel) {
    const auto column = rows.col(channel).cast<double>();
    sums.sum(channel) += column.sum();
    sums.squares(channel) += column.squaredNorm();
  }
  sums.tokens += static_cast<double>(rows.rows());
}

void add_energy(const Samples& gradients, Eigen::Index sinks, PlaneSums& sums) {
  const auto rows = gradients.bottomRows(gradients.rows() - std::min(sinks, gradients.rows()));
  sums.energy += rows.colwise().squaredNorm().transpose().cast<double>();
  sums.rows += static_cast<double>(rows.rows());
}

/// Energy of queries per RoPE pair: a pair turns, so its two channels are looked at alike.
void share_pairs(const Dump& dump, Eigen::Ref<PerChannel> head) {
  if (dump.rope.style == kernels::RopeStyle::kNone) return;
  for (std::uint64_t pair = 0; pair < dump.rope.dims / 2; ++pair) {
    const kernels::ChannelPair channels = kernels::rope_pair(dump.rope, pair);
    double& first = head(static_cast<Eigen::Index>(channels.first));
    double& second = head(static_cast<Eigen::Index>(channels.second));
    first = second = (first + second) / 2;
  }
}

/// K by E q^2, V by the energy of W_o's columns, each summed over the query heads that read a KV head.
bool add_projection(DumpReader& reader, const Dump& dump, LayerIndex layer, std::array<PlaneSums, 2>& sums) {
  const Eigen::Index head_dim = head_dim_of(dump.shape);
  const Eigen::Index group = static_cast<Eigen::Index>(dump.query_heads) / heads_of(dump.shape);
  const std::array<const DumpTensor*, 2> tensors{&dump.q, &dump.wo};
  const std::array<std::uint64_t, 2> row_counts{dump.shape.tokens.count(), dump.model_dim};
  for (std::size_t side = 0; side < 2; ++side) {
    Samples rows(static_cast<Eigen::Index>(row_counts[side]), static_cast<Eigen::Index>(dump.query_heads) * head_dim);
    reader.read_rows(*tensors[side], layer.value() * row_counts[side], rows);
    if (!rows.allFinite()) return false;
    const PerChannel energy =
        rows.colwise().squaredNorm().transpose().cast<double>() / static_cast<double>(rows.rows());
    for (Eigen::Index head = 0; head < heads_of(dump.shape); ++head) {
      PerChannel of_head = PerChannel::Zero(head_dim);
      for (Eigen::Index query = head * group; query < (head + 1) * group; ++query) {
        of_head += energy.segment(query * head_dim, head_dim);
      }
      if (side == 0) share_pairs(dump, of_head);
      sums[side].energy.segment(head * head_dim, head_dim) += of_head;
    }
    sums[side].rows += 1;
  }
  return true;
}

bool add_gradients(DumpReader& reader, const Dump& dump, LayerIndex layer, std::array<PlaneSums, 2>& sums) {
  Samples gradients;
  for (std::uint64_t row = 0; row < dump.gradient_rows; ++row) {
    for (const Side side : {Side::kKey, Side::kValue}) {
      reader.read_gradient(dump, {row, layer, side}, gradients);
      if (!gradients.allFinite()) return false;
      add_energy(gradients, static_cast<Eigen::Index>(dump.sinks()), sums[static_cast<std::size_t>(side)]);
    }
  }
  return true;
}

bool has_queries(const Dump& dump) { return dump.q.is_there() && dump.wo.is_there(); }

/// sqrt(sensitivity), rescaled so that the head's weighted variance is that of `neutral`.
PerChannel rescaled(const PerChannel& energy, const PerChannel& variance, const PerChannel& neutral) {
  const double mean = energy.mean();
  if (mean <= 0) return neutral;
  const PerChannel weights = (energy.array() + kHeadShare * mean).sqrt();
  const double wanted = (neutral.array().square() * variance.array()).sum();
  const double found = (weights.array().square() * variance.array()).sum();
  if (found <= 0 || wanted <= 0) return neutral;
  return weights * std::sqrt(wanted / found);
}

/// By the rms of each head; heads that are constant count as the quietest that is believable.
PerChannel neutral_weights(const ModelMoments& moments, LayerIndex layer, Side side) {
  const PlaneMoments& plane = moments.layers[layer.value()][static_cast<std::size_t>(side)];
  const Eigen::Index head_dim = head_dim_of(moments.shape);
  const double quietest = 1e-6 * plane.variance.mean() + 1e-12 * plane.mean.squaredNorm() + kTiny;
  PerChannel weights(plane.variance.size());
  for (Eigen::Index first = 0; first < weights.size(); first += head_dim) {
    const double variance = std::max(plane.variance.segment(first, head_dim).mean(), quietest);
    weights.segment(first, head_dim).setConstant((side == Side::kKey ? kKeyFiner : 1.0) / std::sqrt(variance));
  }
  return weights;
}

}  // namespace

SensitivitySource source_of(std::span<const Dump> dumps) {
  if (std::ranges::any_of(dumps, &Dump::has_gradients)) return SensitivitySource::kGradients;
  return std::ranges::any_of(dumps, has_queries) ? SensitivitySource::kQueries : SensitivitySource::kNeutral;
}

bool add_layer_moments(DumpReader& reader, std::span<const Dump> dumps, ModelMoments& moments, LayerIndex layer) {
  const auto width = static_cast<Eigen::Index>(moments.shape.row_values());
  std::array<PlaneSums, 2> sums{PlaneSums(width), PlaneSums(width)};
  Samples samples;
  for (const Dump& dump : dumps) {
    for (const Side side : {Side::kKey, Side::kValue}) {
      reader.read(dump, layer, side, samples);
      if (!samples.allFinite()) return false;
      add_values(samples, static_cast<Eigen::Index>(dump.sinks()), sums[static_cast<std::size_t>(side)]);
    }
    const bool wants_gradients = moments.source == SensitivitySource::kGradients && dump.has_gradients();
    const bool wants_queries = moments.source == SensitivitySource::kQueries && has_queries(dump);
    if (wants_gradients && !add_gradients(reader, dump, layer, sums)) return false;
    if (wants_queries && !add_projection(reader, dump, layer, sums)) return false;
  }
  for (std::size_t side = 0; side < 2; ++side) {
    PlaneMoments& plane = moments.layers[layer.value()][side];
    plane.mean = sums[side].sum / sums[side].tokens;
    plane.variance = (sums[side].squares / sums[side].tokens - plane.mean.cwiseAbs2()).cwiseMax(0.0);
    plane.sensitivity = sums[side].energy / std::max(sums[side].rows, 1.0);
  }
  return true;
}

void finish_moments(ModelMoments& moments) {
  double sum = 0;
  for (const auto& layer : moments.layers) {
    for (const PlaneMoments& plane : layer) sum += plane.sensitivity.mean();
  }
  moments.mean_sensitivity = sum / static_cast<double>(2 * moments.layers.size());
  if (moments.mean_sensitivity <= 0) moments.source = SensitivitySource::kNeutral;
}

PerChannel weights_of(const ModelMoments& moments, LayerIndex layer, Side side, const PerChannel& fisher) {
  const PlaneMoments& plane = moments.layers[layer.value()][static_cast<std::size_t>(side)];
  const Eigen::Index head_dim = head_dim_of(moments.shape);
  PerChannel neutral = neutral_weights(moments, layer, side);
  if (moments.source == SensitivitySource::kNeutral) return neutral;
  PerChannel weights(fisher.size());
  for (Eigen::Index first = 0; first < fisher.size(); first += head_dim) {
    const auto head = fisher.segment(first, head_dim);
    if (moments.source == SensitivitySource::kGradients) {
      const double floor = kHeadShare * head.mean() + kModelShare * moments.mean_sensitivity;
      weights.segment(first, head_dim) = (head.array() + floor).sqrt();
    } else {
      weights.segment(first, head_dim) =
          rescaled(head, plane.variance.segment(first, head_dim), neutral.segment(first, head_dim));
    }
  }
  return weights;
}

double kl_at_unit_step(const ModelMoments& moments, std::span<const Dump> dumps) {
  if (moments.source != SensitivitySource::kGradients) return kNeutralKl;
  double values = 0;
  double targets = 0;
  for (const Dump& dump : dumps) {
    if (!dump.has_gradients()) continue;
    values += static_cast<double>(dump.gradient_tokens.count() * moments.shape.row_values() * 2 *
                                  moments.shape.layers.count());
    targets += dump.gradient_targets == 0 ? kUsualTargets : static_cast<double>(dump.gradient_targets);
  }
  SLUICE_ASSERT(targets > 0);
  return kExpansionShortfall * values / (24 * targets);
}

}  // namespace sluice::codec::calibration
