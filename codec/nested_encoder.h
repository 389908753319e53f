// Writes base, refinement 1 and refinement 2 of one unit (with a profile: as many as the level has). Each stage is
// filled at its largest possible offset, then moved down, so that one pass over the planes serves all stages. Where a
// plane's indices come from is the only difference between the tiers: plane_fit.h without, profile_planes.h with a
// profile.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "codec/coded_plane.h"
#include "codec/encoder.h"
#include "codec/nested_layout.h"
#include "codec/plane_columns.h"
#include "codec/plane_fit.h"
#include "codec/profile_planes.h"
#include "codec/run_encoder.h"

namespace sluice::codec {

/// Header of a unit's base before anything is coded: which tokens are raw (the request's first) and which are fine (its
/// newest; with a profile those have token classes of their own), profile and level.  Threads: pure.
FrameHeader base_header(const EncoderOptions& options, const kernels::KvShape& shape, const UnitContext& context);

/// Threads: one call at a time.
class NestedEncoder {
 public:
  NestedEncoder(const kernels::KernelTable& kernels, const EncoderOptions& options);

  static Bytes max_size(const kernels::KvShape& shape, Part part);

  /// As Encoder::encode.
  Result<EncodedUnit> encode(const kernels::UnitView& unit, const UnitContext& context, std::span<std::byte> out);

 private:
  /// One frame while it grows.
  struct Stage {
    FrameHeader header;
    NestedLayout layout;
    std::span<std::byte> frame;
    std::size_t end = 0;  ///< of the payload so far
  };
  using Stages = std::array<Stage, kNestedStages>;

  Stages plan(const kernels::UnitView& unit, const UnitContext& context, std::span<std::byte> out) const;
  Result<void> collect_layer(const kernels::UnitView& unit, std::size_t layer, Stages& stages);
  void load_plane(const kernels::UnitView& unit, std::size_t stream, const Stage& base, std::span<float> columns);
  Result<CodedPlane> code_plane(std::size_t stream, const Stage& base);
  void write_side_information(std::size_t stream, const Stage& base) const;
  void collect_stream(const CodedPlane& plane, const Stages& stages);
  void write_collected(std::size_t end, Stages& stages);
  void write_stream(std::size_t stream, const kernels::RansWriter& writer, std::span<const std::byte> words,
                    Stage& stage) const;
  EncodedUnit seal(Stages& stages, std::span<std::byte> out) const;

  const kernels::KernelTable* kernels_;
  EncoderOptions options_;
  std::size_t stages_ = kNestedStages;
  std::unique_ptr<const StaticTables> tables_;
  /// Streams that wait to be coded side by side, and their symbols by stage.
  static constexpr std::size_t kStreamsAtOnce = 4;
  std::size_t collected_ = 0;
  std::vector<RunEncoder> runs_;  ///< [kStreamsAtOnce][kNestedStages]
  std::optional<ProfilePlanes> profile_planes_;
  UnitRotation rotation_;
  StripScratch strip_;
  std::array<std::vector<float>, 2> columns_;  ///< of K and V of one layer
  PlaneFit fit_;
  TokenGroups groups_;
  RunPlan plan_;
  std::array<std::vector<std::byte>, kStreamsAtOnce> words_;
  std::vector<std::byte> escapes_;
};

}  // namespace sluice::codec
