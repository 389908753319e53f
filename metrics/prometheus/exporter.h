// The only door to prometheus-cpp: renders a node's counters in Prometheus' text format. Serving it over HTTP is the
// composition root's work.
#pragma once

#include <memory>
#include <string>

#include "metrics/counters.h"

namespace sluice::metrics {

/// Content-Type of what render() returns.
inline constexpr std::string_view kTextFormat = "text/plain; version=0.0.4; charset=utf-8";

/// Threads: render() from any. `counters` must outlive it.
class Exporter {
 public:
  explicit Exporter(const Counters& counters);
  ~Exporter();
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;

  /// All series, for GET /metrics.
  std::string render() const;

 private:
  class Registry;
  std::unique_ptr<Registry> registry_;
};

}  // namespace sluice::metrics
