// The profile of a model: what calibration learned, so that streams need not carry it. Normative: FORMAT.md section 8.
// Place in the flow: calibration fills ProfileContents and writes the file; encoder and decoder hold a Profile, and
// frames name it by its content hash. Invariants: every size follows from header and level list, which are checked
// before anything is allocated; a parsed profile holds only finite numbers, positive steps and weights, known classes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "codec/frame.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

inline constexpr std::uint32_t kProfileMagic = 0x504B4C53;  ///< "SLKP" in little-endian bytes
inline constexpr std::uint16_t kProfileVersion = 1;
inline constexpr std::size_t kProfileHeaderSize = 128;
inline constexpr std::size_t kMaxProfileLevels = 16;
inline constexpr std::size_t kMaxLevelName = 15;
inline constexpr std::size_t kMaxTokenClasses = 16;
inline constexpr std::size_t kMaxLayersBack = 4;
/// A basis or predictor number n stands for n / 2^15.
inline constexpr float kMatrixUnit = 0x1p-15F;

/// How far the transform reaches. Pinned: these numbers are in files.
enum class Tier : std::uint8_t {
  kHeads = 1,      ///< T1: a basis per head
  kLayer = 2,      ///< T2: a basis over the KV heads of a layer
  kPredicted = 3,  ///< T3: as T2, of what is left after prediction from streams that are already decoded
};

/// What a level costs and does when its first 1, 2, 3 stages are there; 0 for not measured.
struct StageQuality {
  float bits_per_value = 0;
  float kl_mean = 0;
  float kl_p99 = 0;
  bool operator==(const StageQuality&) const = default;
};

/// One named working point: a step, and the entropy classes that fit it.
struct ProfileLevel {
  std::string name;  ///< 1..15 characters out of a-z, 0-9, '-'
  /// Base step in the weighted domain, the same for every coefficient, before the token's scale.
  float step = 1;
  /// An index of +-1 decodes to this many steps when only the base is there (1.02 after rate-distortion rounding).
  float unit_magnitude = 1;
  /// 1: a single layer with rate-distortion rounding. 2 or 3: base and refinements, each with a third of the step.
  Stages stages = Stages(1);
  std::array<StageQuality, kNestedStages> quality{};
  /// [stages][2 * layers][token classes][width]: of the base any class of coefficient_class.h; of a refinement one
  /// below kClasses or kSilentClass. Width index = coefficient, stream = 2 * layer + (0 for K, 1 for V).
  std::vector<std::uint8_t> classes;
  bool operator==(const ProfileLevel&) const = default;
};

/// Everything in a profile. Streams: 2 * layer + (0 K, 1 V); width = kv_heads * head_dim.
/// Signal: x = K before RoPE, or V; y = B (w (x - mean)), where B holds one basis vector a row; y is quantised.
/// So x = (B^T y) / w + mean, whatever B: the decoder's matrix is the one that is normative.
struct ProfileContents {
  Tier tier = Tier::kLayer;
  Layers layers;
  Heads kv_heads;
  HeadDim head_dim;
  kernels::RopeSpec rope;
  ContentHash model;  ///< of the weights; 0 when not known
  /// kPredicted: streams of how many layers before predict (0: only V from K of its layer), and the distance of intra
  /// layers, which have no reference to another layer. Units must start at a multiple of it. Both 0 for other tiers.
  std::uint8_t layers_back = 0;
  std::uint8_t intra_every = 0;
  /// Token class z = lowest_class + index, index < token_classes; a token of class z has 2^(z/2) times the step.
  std::int8_t lowest_class = 0;
  std::uint8_t token_classes = 1;

  std::vector<std::uint16_t> class_frequencies;  ///< [layers][token_classes], each >= 1, sum of a layer 256
  std::vector<float> means;                      ///< [streams][width]
  std::vector<float> weights;                    ///< [streams][width], positive
  /// kHeads: [streams][kv_heads][head_dim rows][head_dim]; else [streams][width rows][width]; in kMatrixUnit.
  std::vector<std::int16_t> bases;
  /// kPredicted: predicted y of a stream = scale[row] * sum of P[row][column] * decoded y of its references, which
  /// stand one after the other in the order of references(). Per stream [width rows][references * width].
  std::vector<float> predictor_scales;  ///< [streams][width], times kMatrixUnit
  std::vector<std::int16_t> predictors;
  std::vector<ProfileLevel> levels;  ///< 1..16, of different names
  /// Encoder only, both empty or both full: z = lowest..highest nearest to the sum of
  /// classifier[layer][0 .. 4 width + 3) and the features c K, |c| K, c V, |c| V, log(request tokens - position + 8),
  /// log(position + 4), 1, with c = clip(y * classifier_scales, -4, 4), y without prediction, [streams][width].
  std::vector<float> classifier_scales;
  std::vector<float> classifier;

  std::size_t streams() const { return 2 * layers.count(); }
  std::size_t width() const { return kv_heads.count() * head_dim.count(); }
  /// Blocks on the diagonal of a basis, and the rows of one.
  std::size_t blocks() const { return tier == Tier::kHeads ? kv_heads.count() : 1; }
  std::size_t block_width() const { return width() / blocks(); }
  bool operator==(const ProfileContents&) const = default;
};

/// Streams, already decoded, that predict `stream`: K of its own layer for a V, then K and V of one layer before, and
/// so on, down to the last intra layer. Empty without prediction.
struct References {
  std::array<std::size_t, 2 * kMaxLayersBack + 1> streams{};
  std::size_t count = 0;
};
References references(const ProfileContents& contents, std::size_t stream);

/// The file, whole.
/// Errors: kInvalidArgument with the place when contents contradict themselves.  Threads: pure.
Result<std::vector<std::byte>> write_profile(const kernels::KernelTable& kernels, const ProfileContents& contents);

/// A checked profile.
/// Threads: immutable. Encoders and decoders keep a pointer to it: it must outlive them.
class Profile {
 public:
  /// Errors: kTruncated, kBadMagic, kBadVersion, kBadField, kBadLength, kTrailingBytes, kDigestMismatch.
  static Result<Profile> parse(const kernels::KernelTable& kernels, std::span<const std::byte> file);

  const ProfileContents& contents() const { return contents_; }
  /// What frames name: the digest of the whole file.
  ContentHash id() const { return id_; }
  Bytes file_size() const { return file_size_; }
  /// Number of the level of that name.  Errors: kNotFound.
  Result<std::size_t> find_level(std::string_view name) const;
  /// Classes of one stage of one stream at a level: [token_classes][width].
  std::span<const std::uint8_t> classes(std::size_t level, std::size_t stage, std::size_t stream) const;
  std::span<const std::int16_t> basis(std::size_t stream) const;
  std::span<const std::int16_t> predictor(std::size_t stream) const;

 private:
  ProfileContents contents_;
  ContentHash id_;
  Bytes file_size_;
  std::vector<std::size_t> predictor_at_;  ///< [streams + 1]
};

}  // namespace sluice::codec
