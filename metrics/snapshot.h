// What the exporter reads: all series of a node at one moment, as plain values. Knows nothing of any metrics library.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/histogram.h"

namespace sluice::metrics {

enum class SeriesKind : std::uint8_t { kCounter, kGauge, kHistogram };

using Labels = std::vector<std::pair<std::string, std::string>>;

/// One counter or gauge.
struct Sample {
  Labels labels;
  /// Counters and gauges.
  double value = 0;
};
/// One histogram.
struct HistogramSample {
  Labels labels;
  Histogram histogram;
};
/// One metric with all its series.
struct Family {
  std::string_view name;
  std::string_view help;
  SeriesKind kind = SeriesKind::kCounter;
  std::vector<Sample> samples;
  std::vector<HistogramSample> histograms;
};
using Snapshot = std::vector<Family>;

}  // namespace sluice::metrics
