// Linear prediction of a stream from streams that are already decoded (tier T3): the window of decoded streams, the
// products between them, and the ridge regression. Place in the flow: the fit and every level's sweep go through the
// layers in coding order with one window each. Invariant: only what the decoder has is ever a source.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "codec/calibration/matrix.h"
#include "codec/profile.h"

namespace sluice::codec::calibration {

/// Decoded coefficients of the streams that later ones may refer to.
/// Threads: one call at a time.
class DecodedWindow {
 public:
  /// Keeps a stream's decoded coefficients [tokens][width], with the columns of `references` yet to come.
  void keep(std::size_t stream, Samples decoded);
  /// Forgets streams below `first`.
  void forget_below(std::size_t first);
  const Samples& decoded(std::size_t stream) const;

  /// [references * width][references * width] sum over tokens of d' d.
  Square products(const References& references);
  /// [references * width][width] sum over tokens of d' target.
  Square cross_products(const References& references, const Samples& target) const;
  /// sum over references of d P, P = [references * width][columns].
  Samples apply(const References& references, const Eigen::MatrixXf& predictor) const;

 private:
  const Square& product(std::size_t left, std::size_t right);

  std::map<std::size_t, Samples> decoded_;
  std::map<std::pair<std::size_t, std::size_t>, Square> products_;
};

/// [references * width][width], from decoded coefficients to the weighted domain: ridge .02 step^2 + 3e-5 mean
/// variance.
Square fit_predictor(DecodedWindow& window, const References& references, const Samples& target, double step);

}  // namespace sluice::codec::calibration
