// The passes of calibration over the layers of a model. Place in the flow: calibrate() runs moments, then fit, then one
// sweep per level; each reads the layers in coding order. Internal to codec/calibration.
#pragma once

#include <array>
#include <vector>

#include "codec/calibration/calibrate.h"
#include "codec/calibration/corpus.h"
#include "codec/calibration/prediction.h"
#include "codec/calibration/sensitivity.h"
#include "codec/calibration/stream_coder.h"
#include "codec/calibration/token_classifier.h"

namespace sluice::codec::calibration {

/// Fills everything of a profile but its levels, layer by layer.
/// Threads: one call at a time. Layers must come in order.
class ModelFit {
 public:
  /// step: at which predictors learn.  Ownership: everything but `contents` must outlive it.
  ModelFit(Corpus& corpus, const CodeBook& book, const ModelMoments& moments, float step);

  /// contents: tier, shape, layers_back and intra_every are set, arrays have their sizes.
  void fit_layer(LayerIndex layer, ProfileContents& contents);

  /// Token classes of the corpus, [layers].
  const std::vector<Eigen::VectorXi>& classes() const { return classes_; }

 private:
  struct Layer;
  void fit_plain(Layer& layer);
  void scale_weights(Layer& layer) const;
  void fit_stream(Layer& layer, Side side, ProfileContents& contents);
  void keep_decoded(const Layer& layer, Side side, const Samples& predicted, std::size_t stream);
  void store(const Layer& layer, ProfileContents& contents) const;

  Corpus* corpus_;
  const CodeBook* book_;
  const ModelMoments* moments_;
  float step_;
  DecodedWindow window_;
  std::vector<Eigen::VectorXi> classes_;
};

/// Gives contents' arrays their sizes and neutral values.
void size_contents(ProfileContents& contents);

/// Fills one level's entropy classes, stream by stream, and sums its cost.
/// Threads: one call at a time. Layers must come in order.
class LevelSweep {
 public:
  LevelSweep(Corpus& corpus, const CodeBook& book, const ProfileContents& contents, const ProfileLevel& level);

  void sweep_layer(LayerIndex layer, const Eigen::VectorXi& classes);

  /// With classes filled in.
  ProfileLevel take_level() { return std::move(level_); }
  const std::array<StageCost, kNestedStages>& cost() const { return cost_; }

 private:
  Corpus* corpus_;
  const CodeBook* book_;
  const ProfileContents* contents_;
  ProfileLevel level_;
  DecodedWindow window_;
  std::array<StageCost, kNestedStages> cost_{};
};

}  // namespace sluice::codec::calibration
