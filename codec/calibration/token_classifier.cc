#include "codec/calibration/token_classifier.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.h"
#include "codec/token_classifier.h"

namespace sluice::codec::calibration {
namespace {

/// Tokens of a unit, as most engines cut them.
constexpr std::uint64_t kCentredUnit = 256;
/// Tokens at positions below this neither teach nor centre the regression: they stand out for other reasons.
constexpr double kSettle = 8;
constexpr double kClip = 4;
constexpr double kPenalty = 60;
/// z = 2 clip(-.7 (s - median), -2.5, .5), s = log2 amplitude.
constexpr double kSlope = -2 * 0.7;
/// Coefficients of a plane that may be features: with more of them the regression learns its texts by heart (on texts
/// left out, correlation with the true amplitude was .851 with 192, .876 with 48, .870 with 12).
constexpr Eigen::Index kMaxFeatures = 48;
constexpr Eigen::Index kPlaceFeatures = 3;
/// Weight, per token, of the wish that what coefficients say is zero on average: then a unit that is too short to be
/// centred has the classes of one that is.
constexpr double kZeroMean = 100;

/// The largest by variance, in rising order of their number.
std::vector<Eigen::Index> leading(const PerChannel& deviation) {
  std::vector<Eigen::Index> order(static_cast<std::size_t>(deviation.size()));
  std::iota(order.begin(), order.end(), Eigen::Index{0});
  std::ranges::stable_sort(order,
                           [&](Eigen::Index left, Eigen::Index right) { return deviation(left) > deviation(right); });
  order.resize(std::min(order.size(), static_cast<std::size_t>(kMaxFeatures)));
  std::ranges::sort(order);
  return order;
}

struct Selection {
  std::array<std::vector<Eigen::Index>, 2> channels;
  Eigen::Index columns() const {
    return static_cast<Eigen::Index>(2 * (channels[0].size() + channels[1].size())) + kPlaceFeatures;
  }
};

void fill_place(const TextRange& rows, double request_tokens, Eigen::Ref<Samples> out) {
  for (Eigen::Index token = 0; token < out.rows(); ++token) {
    const double position = rows.position + static_cast<double>(token);
    out(token, 0) = static_cast<float>(std::log(std::max(request_tokens - position, 0.0) + 8));
    out(token, 1) = static_cast<float>(std::log(position + 4));
    out(token, 2) = 1;
  }
}

/// [tokens][selected c K, |c| K, c V, |c| V, place].
Samples features_of(const TokenClassifier& scales, const Selection& selection, const TextRange& rows,
                    const std::array<Samples, 2>& coefficients) {
  Samples features(rows.tokens, selection.columns());
  Eigen::Index column = 0;
  for (std::size_t side = 0; side < 2; ++side) {
    const auto count = static_cast<Eigen::Index>(selection.channels[side].size());
    for (Eigen::Index i = 0; i < count; ++i) {
      const Eigen::Index channel = selection.channels[side][static_cast<std::size_t>(i)];
      const auto scale = static_cast<float>(scales.scales[side](channel));
      const auto values = coefficients[side].col(channel).segment(rows.first, rows.tokens).array() * scale;
      const auto clipped = values.cwiseMax(static_cast<float>(-kClip)).cwiseMin(static_cast<float>(kClip));
      features.col(column + i) = clipped;
      features.col(column + count + i) = features.col(column + i).cwiseAbs();
    }
    column += 2 * count;
  }
  return features;
}

/// Log2 amplitude of each token over its text's mean, averaged over heads and over K and V.
PerChannel amplitude_of(const TextEnergy& energy, Eigen::Index heads) {
  const Eigen::Index tokens = energy.energy[0].rows();
  PerChannel amplitude = PerChannel::Zero(tokens);
  const Eigen::Index blocks = energy.energy[0].cols() == 1 ? 1 : heads;
  for (const Samples& of_side : energy.energy) {
    const Eigen::Index size = of_side.cols() / blocks;
    for (Eigen::Index block = 0; block < blocks; ++block) {
      const PerChannel sums = of_side.middleCols(block * size, size).cast<double>().rowwise().sum();
      const double mean = sums.mean();
      if (mean <= 0) continue;
      amplitude +=
          (0.5 * (sums / mean).array().max(0.0).unaryExpr([](double x) { return std::log2(x + 1e-9); })).matrix();
    }
  }
  return amplitude / static_cast<double>(2 * blocks);
}

/// Normal equations of the ridge regression.
struct Normal {
  Square products;
  Square target;
  PerChannel sums;  ///< of features
  double tokens = 0;
};

Square solve(Normal& normal) {
  if (normal.tokens > 0) {
    PerChannel mean = normal.sums / normal.tokens;
    mean.tail(kPlaceFeatures).setZero();
    normal.products += kZeroMean * normal.tokens * mean * mean.transpose();
  }
  return solve_ridge(normal.products, normal.target, kPenalty);
}

/// What every text teaches from: coefficients of the corpus, K's and V's, and which of them are features.
struct Teaching {
  const std::array<Samples, 2>& coefficients;
  const TokenClassifier& scales;
  const Selection& selection;
  Eigen::Index heads;
};

/// Each text is centred: only differences between tokens of one text teach.
void add_text(const Teaching& teaching, const TextEnergy& energy, const TextRange& text, Normal& normal) {
  TextRange rows = text;
  const auto skipped = static_cast<Eigen::Index>(std::max(kSettle - text.position, 0.0));
  rows.tokens = std::min(energy.energy[0].rows(), text.tokens);
  if (rows.tokens <= skipped) return;
  Samples features = features_of(teaching.scales, teaching.selection, rows, teaching.coefficients);
  fill_place(rows, energy.request_tokens, features.rightCols(kPlaceFeatures));
  const Samples target = amplitude_of(energy, teaching.heads).cast<float>();
  const Eigen::Index used = rows.tokens - skipped;
  const Samples x = features.bottomRows(used).rowwise() - features.bottomRows(used).colwise().mean();
  const Samples y = target.middleRows(skipped, used).array() - target.middleRows(skipped, used).mean();
  add_products(x, x, normal.products);
  add_products(x, y, normal.target);
  normal.sums += features.bottomRows(used).colwise().sum().transpose().cast<double>();
  normal.tokens += static_cast<double>(used);
}

PerChannel spread_out(const Selection& selection, const Square& solution, Eigen::Index width) {
  PerChannel regression = PerChannel::Zero(4 * width + kPlaceFeatures);
  Eigen::Index column = 0;
  for (std::size_t side = 0; side < 2; ++side) {
    const auto base = static_cast<Eigen::Index>(2 * side) * width;
    const auto count = static_cast<Eigen::Index>(selection.channels[side].size());
    for (Eigen::Index i = 0; i < count; ++i) {
      const Eigen::Index channel = selection.channels[side][static_cast<std::size_t>(i)];
      regression(base + channel) = kSlope * solution(column + i, 0);
      regression(base + width + channel) = kSlope * solution(column + count + i, 0);
    }
    column += 2 * count;
  }
  regression.tail(kPlaceFeatures) = kSlope * solution.col(0).tail(kPlaceFeatures);
  return regression;
}

/// Takes the mean off what the coefficients of a unit say, as the encoder does with every unit.
void centre_units(Eigen::VectorXf& sums) {
  constexpr auto kUnit = static_cast<Eigen::Index>(kCentredUnit);
  for (Eigen::Index first = 0; first < sums.size(); first += kUnit) {
    auto unit = sums.segment(first, std::min(kUnit, sums.size() - first));
    if (unit.size() >= static_cast<Eigen::Index>(codec::kLeastCentredTokens)) unit.array() -= unit.mean();
  }
}

/// What the coefficients of rows say, without the place.
Eigen::VectorXf content_sums(const TokenClassifier& classifier, const std::array<Samples, 2>& coefficients,
                             const TextRange& rows) {
  const Eigen::Index width = coefficients[0].cols();
  const Eigen::VectorXf regression = classifier.regression.cast<float>();
  Eigen::VectorXf sums = Eigen::VectorXf::Zero(rows.tokens);
  for (std::size_t side = 0; side < 2; ++side) {
    const auto base = static_cast<Eigen::Index>(2 * side) * width;
    for (Eigen::Index channel = 0; channel < width; ++channel) {
      const auto scale = static_cast<float>(classifier.scales[side](channel));
      const Eigen::ArrayXf c = (coefficients[side].col(channel).segment(rows.first, rows.tokens).array() * scale)
                                   .cwiseMax(static_cast<float>(-kClip))
                                   .cwiseMin(static_cast<float>(kClip));
      sums.array() += c * regression(base + channel) + c.abs() * regression(base + width + channel);
    }
  }
  return sums;
}

/// The regression's value of every row, not rounded.
Eigen::VectorXf sums_of(const TokenClassifier& classifier, const std::array<Samples, 2>& coefficients,
                        const TextRange& rows, double request_tokens) {
  Eigen::VectorXf sums = content_sums(classifier, coefficients, rows);
  centre_units(sums);
  Samples place(rows.tokens, kPlaceFeatures);
  fill_place(rows, request_tokens, place);
  return sums + place * classifier.regression.tail(kPlaceFeatures).cast<float>();
}

/// Moves the constant so that the median token of the corpus has class 0.
void centre(const std::vector<TextRange>& texts, const std::array<Samples, 2>& coefficients,
            TokenClassifier& classifier) {
  std::vector<float> all;
  for (const TextRange& text : texts) {
    const Eigen::VectorXf sums = sums_of(classifier, coefficients, text, text.request_tokens);
    for (Eigen::Index token = 0; token < sums.size(); ++token) {
      if (text.position + static_cast<double>(token) >= kSettle) all.push_back(sums(token));
    }
  }
  if (all.empty()) return;
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
  std::nth_element(all.begin(), middle, all.end());
  classifier.regression(classifier.regression.size() - 1) -= *middle;
}

}  // namespace

TokenClassifier fit_token_classifier(const std::vector<TextRange>& texts, const std::vector<TextEnergy>& energies,
                                     const std::array<Samples, 2>& coefficients, Eigen::Index heads) {
  TokenClassifier classifier;
  Selection selection;
  for (std::size_t side = 0; side < 2; ++side) {
    PerChannel deviation(coefficients[side].cols());
    for (Eigen::Index channel = 0; channel < deviation.size(); ++channel) {
      const auto column = coefficients[side].col(channel).cast<double>();
      const double mean = column.mean();
      deviation(channel) = std::sqrt((column.array() - mean).square().mean());
    }
    const double quietest = 1e-6 * deviation.maxCoeff() + 1e-30;
    classifier.scales[side] = (deviation.array() > quietest).select(1.0 / deviation.array().max(quietest), 0.0);
    selection.channels[side] = leading(deviation);
  }
  if (energies.empty()) return classifier;

  const Eigen::Index columns = selection.columns();
  Normal normal{Square::Zero(columns, columns), Square::Zero(columns, 1), PerChannel::Zero(columns)};
  const Teaching teaching{coefficients, classifier, selection, heads};
  for (const TextEnergy& energy : energies) add_text(teaching, energy, texts[energy.text], normal);
  const Square solution = solve(normal);
  classifier.regression = spread_out(selection, solution, coefficients[0].cols());
  centre(texts, coefficients, classifier);
  return classifier;
}

Eigen::VectorXi classify(const TokenClassifier& classifier, const std::array<Samples, 2>& coefficients,
                         const TextRange& rows, double request_tokens) {
  if (!classifier.is_fitted()) return Eigen::VectorXi::Zero(rows.tokens);
  const Eigen::VectorXf sums = sums_of(classifier, coefficients, rows, request_tokens);
  return sums.unaryExpr([](float sum) {
    return static_cast<int>(
        std::nearbyint(std::clamp(sum, static_cast<float>(kFinestClass), static_cast<float>(kCoarsestClass))));
  });
}

Eigen::VectorXi classify_corpus(const TokenClassifier& classifier, const std::vector<TextRange>& texts,
                                const std::array<Samples, 2>& coefficients) {
  Eigen::VectorXi classes = Eigen::VectorXi::Zero(coefficients[0].rows());
  for (const TextRange& text : texts) {
    classes.segment(text.first, text.tokens) = classify(classifier, coefficients, text, text.request_tokens);
  }
  return classes;
}

}  // namespace sluice::codec::calibration
