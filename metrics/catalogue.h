// The list of all metrics: names, labels and help, in the order in which they are exported. Names follow
// prometheus.io's conventions: one prefix, base units, counters end in _total. A name, once released, keeps its
// meaning.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>

#include "metrics/snapshot.h"

namespace sluice::metrics {

/// Places in catalogue().
enum class Metric : std::size_t {
  kBuildInfo,
  kTransfers,
  kTransferSeconds,
  kStageSeconds,
  kBytes,
  kDecisions,
  kSloSlackSeconds,
  kSloMissed,
  kPredictedOverActual,
  kLinkBandwidth,
  kLinkRtt,
  kLinkState,
  kLinkInfo,
  kInflight,
  kQueueBytes,
  kPoolBytes,
  kIntegrityFailures,
  kLeaseExpired,
  kRetries,
  kFallback,
  kHandshakesRefused,
  kCircuitsOpened,
};
inline constexpr std::size_t kMetricCount = 22;

/// What the catalogue says of one metric.
struct MetricEntry {
  Metric metric;
  std::string_view name;
  SeriesKind kind;
  std::string_view help;
  /// Empty strings fill up.
  std::array<std::string_view, 5> labels;

  std::size_t label_count() const {
    std::size_t count = 0;
    while (count < labels.size() && !labels[count].empty()) ++count;
    return count;
  }
};

/// One entry per Metric, in its order.  Threads: pure.
std::span<const MetricEntry> catalogue();

}  // namespace sluice::metrics
