// How much an error in each channel hurts: the weights that turn a cache into the domain where equal errors cost alike.
// Place in the flow: a first pass over all dumps fills ModelMoments; per layer, weights follow from it, and once more
// when token classes are known. From gradients: the Fisher diagonal. Without them: from queries and the output
// projection, or neutral by the rms of heads. Invariant: every weight is positive and finite, whatever the dumps hold.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "codec/calibration/dump.h"
#include "codec/calibration/matrix.h"

namespace sluice::codec::calibration {

/// Where weights come from, best first.
enum class SensitivitySource : std::uint8_t { kGradients = 0, kQueries = 1, kNeutral = 2 };

/// Sums over all dumps of one plane (K without RoPE, or V, of one layer), sinks left out. One entry per channel.
struct PlaneMoments {
  PerChannel mean;
  PerChannel variance;
  PerChannel sensitivity;  ///< E g^2 of gradients; energy of queries or of W_o's rows; zero if unknown
};

/// What the first pass finds.
struct ModelMoments {
  kernels::KvShape shape;  ///< tokens: of all dumps together, without sinks
  SensitivitySource source = SensitivitySource::kNeutral;
  std::vector<std::array<PlaneMoments, 2>> layers;  ///< [layers][Side]
  double mean_sensitivity = 0;                      ///< over all channels of the model
};

/// Reads one layer of every dump into `layer`; false when a value is NaN or infinite (find_value_fault says which).
bool add_layer_moments(DumpReader& reader, std::span<const Dump> dumps, ModelMoments& moments, LayerIndex layer);

/// Which source these dumps offer: the best that any of them has.
SensitivitySource source_of(std::span<const Dump> dumps);

/// Closes the first pass: the mean over the model; gradients that are all zero count as none.
void finish_moments(ModelMoments& moments);

/// Weights of one plane. `fisher` stands for plane.sensitivity where that was measured under token classes.
/// Shape:   [width].
PerChannel weights_of(const ModelMoments& moments, LayerIndex layer, Side side, const PerChannel& fisher);

/// Predicted KL per scored token at a step of 1 in the weighted domain; it grows with the square of the step.
/// From gradients: half of the noise energy of uniform quantisation, times what the second-order expansion leaves out.
/// Else: what the profile-free tier was measured at (FORMAT.md section 5), an order of magnitude.
double kl_at_unit_step(const ModelMoments& moments, std::span<const Dump> dumps);

}  // namespace sluice::codec::calibration
