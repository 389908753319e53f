#include "metrics/prometheus/exporter.h"

#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <sstream>
#include <vector>

namespace sluice::metrics {
namespace {

std::vector<::prometheus::ClientMetric::Label> labels_of(const Labels& labels) {
  std::vector<::prometheus::ClientMetric::Label> converted;
  for (const auto& [name, value] : labels) {
    ::prometheus::ClientMetric::Label label;
    label.name = name;
    label.value = value;
    converted.push_back(label);
  }
  return converted;
}

::prometheus::ClientMetric number(const Sample& sample, SeriesKind kind) {
  ::prometheus::ClientMetric metric;
  metric.label = labels_of(sample.labels);
  if (kind == SeriesKind::kCounter) {
    metric.counter.value = sample.value;
  } else {
    metric.gauge.value = sample.value;
  }
  return metric;
}

::prometheus::ClientMetric buckets(const HistogramSample& sample) {
  ::prometheus::ClientMetric metric;
  metric.label = labels_of(sample.labels);
  metric.histogram.sample_count = sample.histogram.total();
  metric.histogram.sample_sum = sample.histogram.sum();
  const auto bounds = sample.histogram.upper_bounds();
  const auto counts = sample.histogram.counts();
  std::uint64_t cumulative = 0;
  for (std::size_t place = 0; place < counts.size(); ++place) {
    cumulative += counts[place];
    ::prometheus::ClientMetric::Bucket bucket;
    bucket.cumulative_count = cumulative;
    bucket.upper_bound = place < bounds.size() ? bounds[place] : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back(bucket);
  }
  return metric;
}

::prometheus::MetricType type_of(SeriesKind kind) {
  switch (kind) {
    case SeriesKind::kCounter:
      return ::prometheus::MetricType::Counter;
    case SeriesKind::kGauge:
      return ::prometheus::MetricType::Gauge;
    case SeriesKind::kHistogram:
      return ::prometheus::MetricType::Histogram;
  }
  return ::prometheus::MetricType::Untyped;
}

}  // namespace

class Exporter::Registry final : public ::prometheus::Collectable {
 public:
  explicit Registry(const Counters& counters) : counters_(counters) {}

  std::vector<::prometheus::MetricFamily> Collect() const override {
    std::vector<::prometheus::MetricFamily> families;
    for (const Family& family : counters_.snapshot()) {
      // A family without series would be a HELP line about nothing.
      if (family.samples.empty() && family.histograms.empty()) continue;
      ::prometheus::MetricFamily converted;
      converted.name = std::string(family.name);
      converted.help = std::string(family.help);
      converted.type = type_of(family.kind);
      for (const Sample& sample : family.samples) converted.metric.push_back(number(sample, family.kind));
      for (const HistogramSample& sample : family.histograms) converted.metric.push_back(buckets(sample));
      families.push_back(std::move(converted));
    }
    return families;
  }

 private:
  const Counters& counters_;
};

Exporter::Exporter(const Counters& counters) : registry_(std::make_unique<Registry>(counters)) {}
Exporter::~Exporter() = default;

std::string Exporter::render() const {
  std::ostringstream text;
  ::prometheus::TextSerializer{}.Serialize(text, registry_->Collect());
  return std::move(text).str();
}

}  // namespace sluice::metrics
