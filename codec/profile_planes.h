// Planes of a unit through the signal path of a profile: transform, token classes, prediction in closed loop, rounding.
// Encoder only. Place in the flow: the nested encoder loads one layer after the other and writes each stream's plane.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "codec/coded_plane.h"
#include "codec/profile.h"
#include "codec/profile_signal.h"
#include "codec/rate_prices.h"
#include "codec/token_classifier.h"
#include "codec/token_groups.h"
#include "kernels/table.h"

namespace sluice::codec {

/// The coded tokens of a unit and where they stand.
struct ProfileUnit {
  std::size_t first_layer = 0;
  std::size_t layers = 0;
  std::size_t tokens = 0;  ///< coded ones
  std::uint64_t first_position = 0;
  std::uint64_t request_tokens = 0;
  std::uint64_t fine_newest = 0;  ///< tokens at the end of the request that get half the step
};

/// One table per layer.
std::vector<kernels::RansTable> make_token_class_tables(const ProfileContents& contents);

/// Threads: one call at a time.  Ownership: views the profile.
class ProfilePlanes {
 public:
  ProfilePlanes(const kernels::KernelTable& kernels, const Profile& profile, std::size_t level);

  void start(const ProfileUnit& unit);
  /// Of a stream of the unit, [width] each: columns are to be (x - mean) * weight.
  std::span<const float> means(std::size_t stream) const { return signal_.means(2 * unit_.first_layer + stream); }
  std::span<const float> weights(std::size_t stream) const { return signal_.weights(2 * unit_.first_layer + stream); }
  /// Transforms K and V columns ([width][tokens], RoPE undone, weighted) of layer `layer` of the unit, and gives its
  /// tokens their classes.
  void load_layer(std::size_t layer, std::span<const float> k, std::span<const float> v);
  /// Rounds one stream of the loaded layer; views are valid until the next call.
  /// Errors: kUnsupported for values that are not finite or that the level's steps do not reach.
  /// Precondition: streams in order, each once.
  Result<CodedPlane> code(std::size_t stream);

 private:
  Result<void> quantize(std::size_t stream, std::span<const float> y);
  Result<void> quantize_piece(std::size_t stream, std::size_t offset, float scale, std::size_t group);
  void close_loop(std::size_t stream, std::span<float> y);

  const kernels::KernelTable* kernels_;
  const Profile* profile_;
  std::size_t level_;
  ProfileSignal signal_;
  TokenClassifier classifier_;
  RatePrices prices_;
  std::vector<kernels::RansTable> token_class_tables_;
  ProfileUnit unit_;
  std::array<std::vector<float>, 2> coefficients_;  ///< of K and V of the loaded layer
  std::vector<std::uint8_t> token_classes_;
  TokenGroups groups_;
  std::array<std::vector<std::int16_t>, kNestedStages> indices_;
  std::vector<float> places_;     ///< [width][places]: coefficients in the order of places
  std::vector<float> predicted_;  ///< one stream
  std::vector<float> decoded_;    ///< [streams of the unit][width][tokens], base stage; only with prediction
};

}  // namespace sluice::codec
