// Reads base and refinements of one unit. Two passes: first all symbols of all frames into indices, with every check;
// only then values into pages. What indices stand for is the only difference between the tiers.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "codec/encoder.h"
#include "codec/nested_layout.h"
#include "codec/plane_columns.h"
#include "codec/profile_signal.h"
#include "codec/run_decoder.h"
#include "codec/static_tables.h"

namespace sluice::codec {

/// Threads: one call at a time.
class NestedDecoder {
 public:
  /// profile: nullptr for none.
  NestedDecoder(const kernels::KernelTable& kernels, const Profile* profile);

  /// stages: parsed frames, base first; shape, rope, position and profile were compared with what is expected already.
  /// Errors: kBadField, kBadLength, kCorruptStream; `out` is then untouched.
  Result<void> decode(std::span<const FrameView> stages, const kernels::MutableUnitView& out);

 private:
  /// Reads one stage's streams one after the other.
  struct Cursor {
    NestedLayout layout;
    std::span<const std::byte> payload;
    std::size_t words_at = 0;
    std::size_t escapes_at = 0;
  };

  void start(const FrameView& base);
  Result<void> read_stage(std::size_t stage, Cursor& cursor);
  Result<StreamReader> open_stream(std::size_t stage, std::size_t stream, Cursor& cursor) const;
  Result<void> read_streams(std::size_t stage, std::size_t first, std::size_t count, Cursor& cursor);
  void read_token_classes(std::size_t layer, StreamReader& reader);
  std::span<const std::uint8_t> classes_of(std::size_t stage, std::size_t stream);
  void rebuild_references();
  void write_plane(const FrameView& base, std::size_t stages, std::size_t stream, const kernels::MutableUnitView& out);
  void restore_fitted(const FrameView& base, std::size_t stages, std::size_t stream,
                      const kernels::MutablePlaneView& plane);
  void restore_profiled(const FrameView& base, std::size_t stages, std::size_t stream,
                        const kernels::MutablePlaneView& plane);
  void inverse_of_predicted(std::size_t stages, std::size_t stream);
  IndexPlane index_plane(std::size_t stages, std::size_t stream);
  void reorder_angles(const kernels::RopeAngles& angles, const TokenGroups& groups);

  const TokenGroups& groups_of(std::size_t stream) const { return groups_[layout_.has_profile ? stream / 2 : 0]; }
  std::span<std::int16_t> indices_of(std::size_t stream) {
    return std::span(indices_).subspan(stream * layout_.indices(), layout_.indices());
  }

  const kernels::KernelTable* kernels_;
  const Profile* profile_;
  std::unique_ptr<const StaticTables> tables_;
  RunDecoder runs_;
  std::optional<ProfileSignal> signal_;
  std::vector<kernels::RansTable> token_class_tables_;
  // Of the unit that is being read.
  NestedLayout layout_;  ///< of its base
  std::size_t level_ = 0;
  std::size_t first_stream_ = 0;                ///< of the profile
  std::span<const std::uint8_t> sent_classes_;  ///< without a profile: [streams][width]
  std::vector<TokenGroups> groups_;             ///< by layer; without a profile just one
  std::vector<std::int16_t> indices_;           ///< [streams][width][places]
  std::vector<float> decoded_;                  ///< [streams][width][tokens] base coefficients; only with prediction
  // Scratch.
  std::array<StreamRuns, kStreamsAtOnce> at_once_;
  std::vector<std::uint8_t> classes_;
  std::vector<std::uint8_t> token_classes_;
  UnitRotation rotation_;
  StripScratch strip_;
  std::vector<float> scales_, means_;  ///< of one stream without a profile
  kernels::RopeAngles angles_;         ///< of the places of one layer
  std::vector<float> columns_;
  std::vector<float> coefficients_;
  std::vector<float> predicted_;
};

}  // namespace sluice::codec
