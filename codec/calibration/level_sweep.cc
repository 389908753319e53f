// The half of model_fit.h that knows levels: entropy classes by exact code length, in closed loop.
#include <algorithm>

#include "codec/calibration/model_fit.h"
#include "codec/calibration/profile_matrices.h"

namespace sluice::codec::calibration {
namespace {

Samples coefficients_of(const ProfileContents& contents, std::size_t stream, const Samples& raw) {
  const auto width = static_cast<Eigen::Index>(contents.width());
  const auto at = static_cast<Eigen::Index>(stream) * width;
  const Eigen::Map<const Eigen::RowVectorXf> means(contents.means.data() + at, width);
  const Eigen::Map<const Eigen::RowVectorXf> weights(contents.weights.data() + at, width);
  const Samples samples = ((raw.rowwise() - means).array().rowwise() * weights.array()).matrix();
  return samples * load_basis(contents, stream).transpose();
}

}  // namespace

void size_contents(ProfileContents& contents) {
  const std::size_t values = contents.streams() * contents.width();
  contents.lowest_class = kFinestClass;
  contents.token_classes = kCoarsestClass - kFinestClass + 1;
  contents.means.assign(values, 0);
  contents.weights.assign(values, 1);
  contents.bases.assign(values * contents.block_width(), 0);
  contents.classifier_scales.assign(values, 0);
  contents.classifier.assign(contents.layers.count() * (4 * contents.width() + 3), 0);
  if (contents.tier != Tier::kPredicted) return;
  std::size_t sources = 0;
  for (std::size_t stream = 0; stream < contents.streams(); ++stream) sources += references(contents, stream).count;
  contents.predictor_scales.assign(values, 1);
  contents.predictors.assign(sources * contents.width() * contents.width(), 0);
}

LevelSweep::LevelSweep(Corpus& corpus, const CodeBook& book, const ProfileContents& contents, const ProfileLevel& level)
    : corpus_(&corpus), book_(&book), contents_(&contents), level_(level) {
  level_.unit_magnitude = level.stages == Stages(1) ? kUnitMagnitude : 1.0F;
  level_.classes.resize(level.stages.count() * contents.streams() * contents.token_classes * contents.width());
}

void LevelSweep::sweep_layer(LayerIndex layer, const Eigen::VectorXi& classes) {
  const std::size_t rows = contents_->token_classes * contents_->width();
  for (const Side side : {Side::kKey, Side::kValue}) {
    const std::size_t stream = 2 * layer.value() + static_cast<std::size_t>(side);
    Samples raw;
    corpus_->read(layer, side, raw);
    Samples residual = coefficients_of(*contents_, stream, raw);
    const References sources = references(*contents_, stream);
    Samples predicted = Samples::Zero(residual.rows(), residual.cols());
    if (sources.count > 0) predicted = window_.apply(sources, load_predictor(*contents_, stream));
    residual -= predicted;
    StreamOutput out = code_stream(*book_, {&residual, &classes, level_.step, level_.stages.count()});
    for (std::size_t stage = 0; stage < level_.stages.count(); ++stage) {
      const std::size_t at = (stage * contents_->streams() + stream) * rows;
      std::ranges::copy(out.classes[stage], level_.classes.begin() + static_cast<std::ptrdiff_t>(at));
      cost_[stage].bits += out.cost[stage].bits;
      cost_[stage].squared_error += out.cost[stage].squared_error;
    }
    if (contents_->tier == Tier::kPredicted) window_.keep(stream, out.decoded + predicted);
  }
  const std::size_t back = contents_->layers_back;
  window_.forget_below(layer.value() + 1 > back ? 2 * (layer.value() + 1 - back) : 0);
}

}  // namespace sluice::codec::calibration
