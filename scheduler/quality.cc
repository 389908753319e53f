#include "scheduler/quality.h"

namespace sluice::scheduler {

PartTable<PartsPerMillion> QualityCurve::default_points() {
  PartTable<PartsPerMillion> points;
  // For whom nobody measured anything: the shape of a nested stream whose steps halve twice.
  points[Part::kBase] = PartsPerMillion(930'000);
  points[Part::kRefinement1] = PartsPerMillion(980'000);
  points[Part::kRefinement2] = PartsPerMillion(995'000);
  points[Part::kRefinement3] = PartsPerMillion(999'000);
  points[Part::kRaw] = kExactQuality;
  points[Part::kLossless] = kExactQuality;
  points[Part::kInt8] = PartsPerMillion(998'000);
  return points;
}

}  // namespace sluice::scheduler
