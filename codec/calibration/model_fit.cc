#include "codec/calibration/model_fit.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "codec/calibration/profile_matrices.h"

namespace sluice::codec::calibration {
namespace {

constexpr std::array kSides{Side::kKey, Side::kValue};

std::size_t number(Side side) { return static_cast<std::size_t>(side); }

Samples weighted(const Samples& raw, const PerChannel& mean, const PerChannel& weights) {
  const Eigen::RowVectorXf shift = mean.cast<float>().transpose();
  const Eigen::RowVectorXf scale = weights.cast<float>().transpose();
  return ((raw.rowwise() - shift).array().rowwise() * scale.array()).matrix();
}

/// Covariance of the weighted samples, under the token scaling where classes are given.
Square covariance(const Samples& samples, const Eigen::VectorXi* classes) {
  Square sum = Square::Zero(samples.cols(), samples.cols());
  if (classes == nullptr) {
    add_products(samples, samples, sum);
  } else {
    const Eigen::ArrayXf inverse = classes->unaryExpr([](int z) { return std::exp2(-0.5F * static_cast<float>(z)); });
    const Samples scaled = (samples.array().colwise() * inverse).matrix();
    add_products(scaled, scaled, sum);
  }
  return sum / static_cast<double>(std::max<Eigen::Index>(samples.rows(), 1));
}

}  // namespace

/// One layer while it is fitted.
struct ModelFit::Layer {
  LayerIndex index;
  std::array<Samples, 2> raw;
  std::array<Samples, 2> coefficients;  ///< without prediction, in the basis of the moment
  std::array<PerChannel, 2> weights;
  std::array<Square, 2> bases;  ///< rows are vectors
  std::vector<TextEnergy> energies;
  TokenClassifier classifier;
  Eigen::VectorXi classes;
  Eigen::Index blocks = 1;
  Eigen::Index heads = 1;
};

ModelFit::ModelFit(Corpus& corpus, const CodeBook& book, const ModelMoments& moments, float step)
    : corpus_(&corpus), book_(&book), moments_(&moments), step_(step), classes_(moments.layers.size()) {}

/// A first round with weights that know no token classes: it gives the classes under which all else is fitted.
void ModelFit::fit_plain(Layer& layer) {
  for (const Side side : kSides) {
    const std::size_t at = number(side);
    const PlaneMoments& plane = moments_->layers[layer.index.value()][at];
    corpus_->read(layer.index, side, layer.raw[at]);
    layer.weights[at] = weights_of(*moments_, layer.index, side, plane.sensitivity);
    layer.coefficients[at] = weighted(layer.raw[at], plane.mean, layer.weights[at]);
    layer.bases[at] = block_basis(covariance(layer.coefficients[at], nullptr), layer.blocks).transpose();
    layer.coefficients[at] = layer.coefficients[at] * layer.bases[at].transpose().cast<float>();
  }
  layer.energies = corpus_->read_energies(layer.index);
  layer.classifier = fit_token_classifier(corpus_->texts(), layer.energies, layer.coefficients, layer.heads);
  layer.classes = classify_corpus(layer.classifier, corpus_->texts(), layer.coefficients);
}

/// F = mean s^2 g^2: a token at a coarser step costs more there.
void ModelFit::scale_weights(Layer& layer) const {
  if (moments_->source != SensitivitySource::kGradients || !layer.classifier.is_fitted()) return;
  std::array<PerChannel, 2> sums;
  for (PerChannel& sum : sums) sum = PerChannel::Zero(layer.raw[0].cols());
  double tokens = 0;
  for (const TextEnergy& energy : layer.energies) {
    TextRange rows = corpus_->texts()[energy.text];
    rows.tokens = energy.energy[0].rows();
    const Eigen::VectorXi classes = classify(layer.classifier, layer.coefficients, rows, energy.request_tokens);
    const Eigen::VectorXf scale = classes.unaryExpr([](int z) { return std::exp2(static_cast<float>(z)); });
    for (std::size_t at = 0; at < 2; ++at) sums[at] += (energy.energy[at].transpose() * scale).cast<double>();
    tokens += static_cast<double>(rows.tokens);
  }
  if (tokens == 0) return;
  for (const Side side : kSides) {
    layer.weights[number(side)] = weights_of(*moments_, layer.index, side, sums[number(side)] / tokens);
  }
}

void ModelFit::keep_decoded(const Layer& layer, Side side, const Samples& predicted, std::size_t stream) {
  const Samples residual = layer.coefficients[number(side)] - predicted;
  StreamOutput out = code_stream(*book_, {&residual, &layer.classes, step_, 1});
  window_.keep(stream, out.decoded + predicted);
}

void ModelFit::fit_stream(Layer& layer, Side side, ProfileContents& contents) {
  const std::size_t at = number(side);
  const std::size_t stream = 2 * layer.index.value() + at;
  const PlaneMoments& plane = moments_->layers[layer.index.value()][at];
  const Samples samples = weighted(layer.raw[at], plane.mean, layer.weights[at]);
  const References sources = references(contents, stream);
  Samples predicted = Samples::Zero(samples.rows(), samples.cols());
  if (sources.count == 0) {
    layer.bases[at] = block_basis(covariance(samples, &layer.classes), layer.blocks).transpose();
  } else {
    const Square predictor = fit_predictor(window_, sources, samples, step_);
    const Samples residual = samples - window_.apply(sources, predictor.cast<float>());
    layer.bases[at] = block_basis(covariance(residual, nullptr), layer.blocks).transpose();
    store_predictor(predictor * layer.bases[at].transpose(), stream, contents);
    predicted = window_.apply(sources, load_predictor(contents, stream));
  }
  store_basis(layer.bases[at], stream, contents);
  layer.coefficients[at] = samples * load_basis(contents, stream).transpose();
  if (contents.tier == Tier::kPredicted) keep_decoded(layer, side, predicted, stream);
}

void ModelFit::store(const Layer& layer, ProfileContents& contents) const {
  const std::size_t width = contents.width();
  for (const Side side : kSides) {
    const std::size_t at = (2 * layer.index.value() + number(side)) * width;
    const PlaneMoments& plane = moments_->layers[layer.index.value()][number(side)];
    for (std::size_t channel = 0; channel < width; ++channel) {
      const auto c = static_cast<Eigen::Index>(channel);
      contents.means[at + channel] = static_cast<float>(plane.mean(c));
      contents.weights[at + channel] = static_cast<float>(layer.weights[number(side)](c));
    }
  }
  if (!layer.classifier.is_fitted()) return;
  for (std::size_t side = 0; side < 2; ++side) {
    const std::size_t at = (2 * layer.index.value() + side) * width;
    for (std::size_t i = 0; i < width; ++i) {
      contents.classifier_scales[at + i] =
          static_cast<float>(layer.classifier.scales[side](static_cast<Eigen::Index>(i)));
    }
  }
  const std::size_t size = 4 * width + 3;
  for (std::size_t i = 0; i < size; ++i) {
    contents.classifier[layer.index.value() * size + i] =
        static_cast<float>(layer.classifier.regression(static_cast<Eigen::Index>(i)));
  }
}

void ModelFit::fit_layer(LayerIndex index, ProfileContents& contents) {
  Layer layer;
  layer.index = index;
  layer.blocks = static_cast<Eigen::Index>(contents.blocks());
  layer.heads = static_cast<Eigen::Index>(contents.kv_heads.count());
  fit_plain(layer);
  scale_weights(layer);
  for (const Side side : kSides) fit_stream(layer, side, contents);
  layer.classifier = fit_token_classifier(corpus_->texts(), layer.energies, layer.coefficients, layer.heads);
  layer.classes = classify_corpus(layer.classifier, corpus_->texts(), layer.coefficients);
  store(layer, contents);
  classes_[index.value()] = layer.classes;
  const std::size_t back = contents.layers_back;
  window_.forget_below(index.value() + 1 > back ? 2 * (index.value() + 1 - back) : 0);
}

}  // namespace sluice::codec::calibration
