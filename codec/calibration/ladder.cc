// The half of calibrate.h that knows levels: which KL they aim at, and which step reaches it.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "codec/calibration/calibrate.h"

namespace sluice::codec::calibration {
namespace {

// Of the first stage. Transparent: at most q8_0's. Fine, default: below TurboQuant 4 bit and q4_0. Base: CacheGen's.
constexpr double kTransparent = 0.00006;
constexpr double kFiner = 0.0005;
constexpr double kFine = 0.002;
constexpr double kDefault = 0.007;
constexpr double kBase = 0.028;
constexpr double kDeep = 0.09;
constexpr double kPerOctave = 8;

double interpolate(double x, const CurvePoint& left, const CurvePoint& right) {
  const double x0 = std::log(left.kl_mean);
  const double x1 = std::log(right.kl_mean);
  const double y0 = std::log(left.step);
  const double y1 = std::log(right.step);
  return y0 + (std::log(x) - x0) * (y1 - y0) / (x1 - x0);
}

/// A field at a step, on straight lines of logarithms through the points, or by the square law through one; 0 for
/// unknown.
double field_at(double step, std::span<const CurvePoint> points, double CurvePoint::*field) {
  if (points.size() == 1) return points[0].*field * (step / points[0].step) * (step / points[0].step);
  std::size_t right = 1;
  while (right + 1 < points.size() && points[right].step < step) ++right;
  const CurvePoint& a = points[right - 1];
  const CurvePoint& b = points[right];
  if (!(a.*field > 0) || !(b.*field > 0)) return 0;
  const double slope = std::log(b.*field / a.*field) / std::log(b.step / a.step);
  return a.*field * std::pow(step / a.step, slope);
}

}  // namespace

std::vector<LevelTarget> usual_levels() {
  return {{"transparent", kTransparent, Stages(1)},
          {"finer", kFiner, Stages(1)},
          {"fine", kFine, Stages(1)},
          {"default", kDefault, Stages(1)},
          {"base", kBase, Stages(1)},
          {"deep", kDeep, Stages(1)},
          {"nested", kBase, Stages(3)}};
}

std::vector<CurvePoint> points_for(Stages stages, std::span<const CurvePoint> measured) {
  std::vector<CurvePoint> found;
  const bool wants_nested = stages > Stages(1) && std::ranges::any_of(measured, &CurvePoint::is_nested);
  std::ranges::copy_if(measured, std::back_inserter(found),
                       [&](const CurvePoint& point) { return point.is_nested == wants_nested; });
  return found;
}

void state_measured(std::span<const CurvePoint> measured, ProfileLevel& level) {
  const std::vector<CurvePoint> points = points_for(level.stages, measured);
  if (points.empty()) return;
  double step = level.step;
  for (std::size_t stage = 0; stage < level.stages.count(); ++stage, step /= 3) {
    level.quality[stage].kl_mean = static_cast<float>(field_at(step, points, &CurvePoint::kl_mean));
    level.quality[stage].kl_p99 = static_cast<float>(field_at(step, points, &CurvePoint::kl_p99));
    const double bits = points.size() > 1 ? field_at(step, points, &CurvePoint::bits_per_value) : 0;
    if (bits > 0) level.quality[stage].bits_per_value = static_cast<float>(bits);
  }
}

float step_for(double kl, double kl_at_unit_step, std::span<const CurvePoint> measured) {
  double log_step = 0.5 * std::log(kl / kl_at_unit_step);
  if (measured.size() == 1) log_step = std::log(measured[0].step) + 0.5 * std::log(kl / measured[0].kl_mean);
  if (measured.size() > 1) {
    std::size_t right = 1;
    while (right + 1 < measured.size() && measured[right].kl_mean < kl) ++right;
    log_step = interpolate(kl, measured[right - 1], measured[right]);
  }
  const double parts = std::round(kPerOctave * log_step / std::log(2.0));
  return static_cast<float>(std::exp2(parts / kPerOctave));
}

}  // namespace sluice::codec::calibration
