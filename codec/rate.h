// Sizes of a unit's frames before any of them is coded. Place in the flow: whoever plans (which level, which stages)
// asks once a unit is there; one pass over its rows gives the energy of every entropy class, and from those the size at
// every level follows. Invariants: after the first unit of a shape nothing is allocated; the input is only read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/quantity.h"
#include "base/result.h"
#include "codec/encoder.h"
#include "codec/frame.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

/// Predicted sizes of whole frames, headers included.
struct StageSizes {
  std::array<Bytes, kNestedStages> all{};  ///< base, refinement 1, refinement 2
  std::size_t stages = kNestedStages;
  std::span<const Bytes> parts() const { return std::span(all).first(stages); }
};

/// Predicts sizes. On real caches predictions lie within 3 % at the median and 8 % at the 99th percentile
/// (`sluice codec rate` measures it).
/// Threads: one call at a time per object; any number of objects.
class RatePredictor {
 public:
  /// options: as of the encoder whose frames are predicted; with a profile all of its levels are, whatever
  /// options.level is.
  /// Errors: those of check_options.
  static Result<RatePredictor> open(const kernels::KernelTable& kernels, const EncoderOptions& options);
  RatePredictor(RatePredictor&&) noexcept;
  RatePredictor& operator=(RatePredictor&&) noexcept;
  ~RatePredictor();

  /// Looks at one unit; what follows is about it.
  /// Errors: as Encoder::encode. Then lossless() is still right if the values are finite.
  Result<void> measure(const kernels::UnitView& unit, const UnitContext& context);

  /// Frames of the nested bitstream at a level of the profile (0 without one).  Precondition: measure() succeeded;
  /// level is the profile's.
  StageSizes stages(std::size_t level) const;
  /// The lossless frame.  Precondition: measure() was called.
  Bytes lossless() const;

 private:
  struct State;
  explicit RatePredictor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sluice::codec
