// Prints what a node would serve at /metrics: with "fresh", right after start; with "busy", after one of every event.
// For promtool and for the check that dashboards and rules name no metric that does not exist.
#include <cstdio>
#include <string_view>

#include "metrics/prometheus/exporter.h"
#include "tests/unit/metrics/busy_node.h"

int main(int count, char** words) {
  sluice::metrics::Counters counters(sluice::metrics::testing_support::example_options());
  if (count > 1 && std::string_view(words[1]) == "busy") sluice::metrics::testing_support::make_busy(counters);
  const std::string text = sluice::metrics::Exporter(counters).render();
  std::fputs(text.c_str(), stdout);
  return text.empty() ? 1 : 0;
}
