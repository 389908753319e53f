// Which tokens the future will look at, guessed from the token alone: the largest saving of all ingredients. A ridge
// regression per layer of the log amplitude of gradients on the token's own normalised coefficients. Encoder side only:
// the decoder reads classes. Invariant: classes lie in kFinestClass..kCoarsestClass; without energies all are 0.
#pragma once

#include <array>
#include <vector>

#include "codec/calibration/corpus.h"
#include "codec/calibration/matrix.h"

namespace sluice::codec::calibration {

/// z: a token of class z has 2^(z/2) times the step.
inline constexpr int kFinestClass = -5;
inline constexpr int kCoarsestClass = 1;

/// z = nearest to the regression's sum, in the order of features that ProfileContents::classifier states.
struct TokenClassifier {
  std::array<PerChannel, 2> scales;  ///< of K's and V's coefficients
  PerChannel regression;             ///< [4 width + 3]; empty without energies
  bool is_fitted() const { return regression.size() > 0; }
};

/// Fits one layer. coefficients: of all tokens of the corpus, K and V.
/// Threads: pure.
TokenClassifier fit_token_classifier(const std::vector<TextRange>& texts, const std::vector<TextEnergy>& energies,
                                     const std::array<Samples, 2>& coefficients, Eigen::Index heads);

/// Class of every token of `rows`, which start at `position` of a request of `request_tokens`.
Eigen::VectorXi classify(const TokenClassifier& classifier, const std::array<Samples, 2>& coefficients,
                         const TextRange& rows, double request_tokens);

/// The same for the whole corpus, each text by itself.
Eigen::VectorXi classify_corpus(const TokenClassifier& classifier, const std::vector<TextRange>& texts,
                                const std::array<Samples, 2>& coefficients);

}  // namespace sluice::codec::calibration
