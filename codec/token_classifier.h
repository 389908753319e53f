// Guesses how much the future will look at a token, from the token alone, and gives it a class: the finer its step,
// the more it matters. Encoder only: classes are sent. Place in the flow: after the transform of a layer's K and V,
// before quantisation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/profile.h"
#include "kernels/table.h"

namespace sluice::codec {

/// In units of at least as many coded tokens, what the coefficients say loses its mean: a text's own level says nothing
/// about which of its tokens matter. (Texts left out of calibration: rms error of z .94 without, .90 with.)
inline constexpr std::size_t kLeastCentredTokens = 64;

/// Coefficients of one layer, [width][tokens] each, and where their tokens stand.
struct LayerCoefficients {
  std::size_t layer = 0;  ///< of the profile
  std::span<const float> k;
  std::span<const float> v;
  std::uint64_t first_position = 0;
  std::uint64_t request_tokens = 0;
};

/// Threads: one call at a time.  Ownership: views the profile.
class TokenClassifier {
 public:
  TokenClassifier(const kernels::KernelTable& kernels, const Profile& profile)
      : kernels_(&kernels), contents_(&profile.contents()) {}

  /// Class indices of all tokens: 0 for the lowest class. Without a classifier in the profile all are of the class
  /// nearest to z = 0. The `newest` last ones of the request get half the step, as far as there are classes.
  void classify(const LayerCoefficients& input, std::uint64_t newest, std::span<std::uint8_t> classes);

 private:
  void add_features(std::size_t stream, std::span<const float> columns, std::span<const float> weights);

  const kernels::KernelTable* kernels_;
  const ProfileContents* contents_;
  std::vector<float> sums_;  ///< [tokens]
};

}  // namespace sluice::codec
