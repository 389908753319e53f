#include "metrics/series.h"

#include "base/assert.h"

namespace sluice::metrics {
namespace {

const MetricEntry& entry(Metric metric) { return catalogue()[static_cast<std::size_t>(metric)]; }

std::span<const double> bounds_of(Metric metric) {
  if (metric == Metric::kSloSlackSeconds) return slack_bounds();
  if (metric == Metric::kPredictedOverActual) return ratio_bounds();
  return seconds_bounds();
}

Labels named(const MetricEntry& metric, const LabelValues& values) {
  Labels labels;
  for (std::size_t place = 0; place < values.size(); ++place) {
    labels.emplace_back(std::string(metric.labels[place]), values[place]);
  }
  return labels;
}

}  // namespace

Series::Series() : tables_(kMetricCount) {}

Series::Table& Series::table(Metric metric, const LabelValues& labels) {
  SLUICE_ASSERT(labels.size() == entry(metric).label_count());
  return tables_[static_cast<std::size_t>(metric)];
}

Histogram& Series::histogram(Metric metric, const LabelValues& labels) {
  return table(metric, labels).histograms.try_emplace(labels, bounds_of(metric)).first->second;
}

void Series::declare(Metric metric, const LabelValues& labels) {
  if (entry(metric).kind == SeriesKind::kHistogram) {
    histogram(metric, labels);
  } else {
    table(metric, labels).numbers.try_emplace(labels, 0.0);
  }
}

void Series::add(Metric metric, const LabelValues& labels, double amount) {
  table(metric, labels).numbers[labels] += amount;
}

void Series::set(Metric metric, const LabelValues& labels, double value) {
  table(metric, labels).numbers[labels] = value;
}

void Series::observe(Metric metric, const LabelValues& labels, double value) {
  histogram(metric, labels).observe(value);
}

void Series::forget(Metric metric, const std::string& first_label) {
  std::erase_if(tables_[static_cast<std::size_t>(metric)].numbers,
                [&](const auto& series) { return series.first.front() == first_label; });
}

Snapshot Series::snapshot() const {
  Snapshot snapshot;
  for (const MetricEntry& metric : catalogue()) {
    const Table& table = tables_[static_cast<std::size_t>(metric.metric)];
    Family family{metric.name, metric.help, metric.kind, {}, {}};
    for (const auto& [values, number] : table.numbers) family.samples.push_back(Sample{named(metric, values), number});
    for (const auto& [values, histogram] : table.histograms) {
      family.histograms.push_back(HistogramSample{named(metric, values), histogram});
    }
    snapshot.push_back(std::move(family));
  }
  return snapshot;
}

}  // namespace sluice::metrics
