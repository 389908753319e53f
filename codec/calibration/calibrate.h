// Calibration: from dumps of K, V and gradients to the contents of a profile. Place in the flow: `sluice codec
// calibrate` maps files and calls it once; the result is written by write_profile(). Invariants: the same dumps and
// options give the same contents; memory is that of a few layers of all dumps; every number in the result is finite.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "codec/calibration/dump.h"
#include "codec/calibration/sensitivity.h"
#include "codec/profile.h"
#include "kernels/table.h"

namespace sluice::codec::calibration {

/// A level by what it may damage.
struct LevelTarget {
  std::string name;
  double kl = 0;  ///< nats per token, of the level's first stage
  Stages stages = Stages(1);
};

/// transparent, finer, fine, default, base, deep, and nested, whose three stages go from base to a ninth of its step.
std::vector<LevelTarget> usual_levels();

/// What somebody measured at a step: from an earlier profile of the same dumps.
struct CurvePoint {
  double step = 0;
  double kl_mean = 0;
  double kl_p99 = 0;
  bool is_nested = false;     ///< on a stage of a nested level, which rounds without regard to rate
  double bits_per_value = 0;  ///< of whole files, 0 if not told
};

/// What to make.
struct CalibrationOptions {
  Tier tier = Tier::kLayer;
  std::uint8_t layers_back = 2;  ///< kPredicted only
  std::uint8_t intra_every = 8;  ///< kPredicted only
  std::vector<LevelTarget> levels;
  std::vector<CurvePoint> measured;  ///< of this tier, or empty: then KL is predicted
  ContentHash model;
};

/// Hears how far it is.
class CalibrationWatch {
 public:
  virtual ~CalibrationWatch() = default;
  /// share in 0..1 of the whole. False: stop as soon as possible.
  virtual bool on_progress(const char* phase, double share) = 0;
};

/// What was learned, and from what.
struct CalibrationOutcome {
  ProfileContents contents;
  SensitivitySource source = SensitivitySource::kNeutral;
  bool has_token_classes = false;
  std::uint64_t tokens = 0;  ///< that taught, without sinks
};

/// Errors:  kIncompatibleLayout (find_shape_fault tells), kUnsupported for NaN or infinity (find_value_fault tells),
///          kInvalidArgument for options out of bounds, kAborted when the watch says so.
Result<CalibrationOutcome> calibrate(const kernels::KernelTable& kernels, std::span<const Dump> dumps,
                                     const CalibrationOptions& options, CalibrationWatch& watch);

/// The step at which KL should be `kl`: by the measured points where there are any (straight lines of log KL over log
/// step, carried on beyond the ends), else by its square law; a whole number of eighths of an octave.
float step_for(double kl, double kl_at_unit_step, std::span<const CurvePoint> measured);

/// Writes measured KL, and bits where points tell them, into a level's quality, stage by stage; without points it stays
/// as it is.
void state_measured(std::span<const CurvePoint> measured, ProfileLevel& level);

/// The points that speak of levels of so many stages: nested ones for several stages, if there are any, else the
/// others.
std::vector<CurvePoint> points_for(Stages stages, std::span<const CurvePoint> measured);

}  // namespace sluice::codec::calibration
