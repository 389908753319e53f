// The half of calibrate.h that knows levels: which KL they aim at, and which step reaches it.
#include <algorithm>
#include <cmath>

#include "codec/calibration/calibrate.h"

namespace sluice::codec::calibration {
namespace {

// Of the first stage. Transparent: at most q8_0's. Fine, default: below TurboQuant 4 bit and q4_0. Base: CacheGen's.
constexpr double kTransparent = 0.0001;
constexpr double kFine = 0.002;
constexpr double kDefault = 0.007;
constexpr double kBase = 0.028;

double interpolate(double x, const CurvePoint& left, const CurvePoint& right) {
  const double x0 = std::log(left.kl_mean);
  const double x1 = std::log(right.kl_mean);
  const double y0 = std::log(left.step);
  const double y1 = std::log(right.step);
  return y0 + (std::log(x) - x0) * (y1 - y0) / (x1 - x0);
}

}  // namespace

std::vector<LevelTarget> usual_levels(Tier tier) {
  std::vector<LevelTarget> levels{{"transparent", kTransparent, Stages(1)},
                                  {"fine", kFine, Stages(1)},
                                  {"default", kDefault, Stages(1)},
                                  {"base", kBase, Stages(1)}};
  if (tier != Tier::kPredicted) levels.push_back({"nested", kBase, Stages(3)});
  return levels;
}

float step_for(double kl, double kl_at_unit_step, std::span<const CurvePoint> measured) {
  double log_step = 0.5 * std::log(kl / kl_at_unit_step);
  if (measured.size() == 1) log_step = std::log(measured[0].step) + 0.5 * std::log(kl / measured[0].kl_mean);
  if (measured.size() > 1) {
    std::size_t right = 1;
    while (right + 1 < measured.size() && measured[right].kl_mean < kl) ++right;
    log_step = interpolate(kl, measured[right - 1], measured[right]);
  }
  const double quarters = std::round(4 * log_step / std::log(2.0));
  return static_cast<float>(std::exp2(quarters / 4));
}

}  // namespace sluice::codec::calibration
