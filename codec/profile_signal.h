// The signal path of a profile, both ways: values to coefficients and back, prediction, and coefficients from indices.
// Used by encoder (also for its closed loop) and decoder. Normative: FORMAT.md sections 5 and 8. Columns are [width]
// [tokens], tokens being the coded ones of a unit in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/profile.h"
#include "codec/token_groups.h"
#include "kernels/table.h"

namespace sluice::codec {

/// A stream of the profile and its number of coded tokens.
struct SignalExtent {
  std::size_t stream = 0;
  std::size_t tokens = 0;
};

/// 2^(z/2), rounded once.  Precondition: |z| <= 40.  Threads: pure.
float token_scale(int token_class);

/// Indices of one stream, [width][places], and what they stand for.
struct IndexPlane {
  std::span<const std::int16_t> indices;
  const TokenGroups* groups = nullptr;
  float step = 1;            ///< of the stage, before the token's scale
  float unit_magnitude = 1;  ///< what +-1 stands for
};

/// Holds one matrix of scratch memory.
/// Threads: one call at a time.  Ownership: views the profile.
class ProfileSignal {
 public:
  ProfileSignal(const kernels::KernelTable& kernels, const Profile& profile);

  /// y = B (w (x - m)); x is overwritten by w (x - m).
  void forward(const SignalExtent& extent, std::span<float> x, std::span<float> y);
  /// The same where x is w (x - m) already.
  void forward_weighted(const SignalExtent& extent, std::span<const float> x, std::span<float> y);
  /// u = B^T y; x is u times inverse_weights() plus means().
  void inverse(const SignalExtent& extent, std::span<const float> y, std::span<float> u);
  /// The same from indices, at their places.
  void inverse_at_places(std::size_t stream, const IndexPlane& plane, std::span<float> u);
  std::span<const float> inverse_weights(std::size_t stream) const;  ///< [width] 1 / w
  std::span<const float> means(std::size_t stream) const;            ///< [width]
  std::span<const float> weights(std::size_t stream) const;          ///< [width]
  /// y of every token from indices.
  void rebuild(const IndexPlane& plane, std::span<float> y);
  /// Overwrites y with what `decoded` predicts: [streams of the unit][width][tokens], the first one number
  /// `first_stream` of the profile. Precondition: references lie in the unit.
  void predict(const SignalExtent& extent, std::span<const float> decoded, std::size_t first_stream,
               std::span<float> y);

 private:
  void load_basis(std::size_t stream);
  void multiply_blocks(const SignalExtent& extent, std::span<const float> in, std::span<float> out) const;
  kernels::IndexedCoefficients coefficients(const IndexPlane& plane);

  const kernels::KernelTable* kernels_;
  const Profile* profile_;
  std::vector<float> matrix_;   ///< one stream's, as fp32
  std::vector<float> turned_;   ///< one stream's basis, turned into columns
  std::vector<float> inverse_;  ///< [streams][width] 1 / w
  std::vector<float> steps_;    ///< [places]
  std::vector<float> places_;   ///< [width][places]
};

}  // namespace sluice::codec
