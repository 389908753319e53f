// The values behind the catalogue: one table per metric, from label values to a number or a histogram.
// Place in the flow: Counters decides what an event means; this holds what came of it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "metrics/catalogue.h"

namespace sluice::metrics {

/// Values of a metric's labels, in the catalogue's order.
using LabelValues = std::vector<std::string>;

/// Threads: one at a time (its owner locks).
class Series {
 public:
  Series();

  /// Makes a series visible at 0.
  void declare(Metric metric, const LabelValues& labels);
  void add(Metric metric, const LabelValues& labels, double amount);
  void set(Metric metric, const LabelValues& labels, double value);
  void observe(Metric metric, const LabelValues& labels, double value);
  /// Takes away all series of a metric whose first label has that value.
  void forget(Metric metric, const std::string& first_label);

  Snapshot snapshot() const;

 private:
  struct Table {
    std::map<LabelValues, double> numbers;
    std::map<LabelValues, Histogram> histograms;
  };
  Table& table(Metric metric, const LabelValues& labels);
  Histogram& histogram(Metric metric, const LabelValues& labels);

  // TODO(perf): events come once a unit; should that ever show, give each known series a place instead of a look-up.
  std::vector<Table> tables_;
};

}  // namespace sluice::metrics
