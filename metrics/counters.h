// Turns a node's events into the series of docs/metrics.md. Every series whose labels are known beforehand is there
// from the start with 0, so that a rate never misses its first step. Labels are bounded: unknown words become "other".
// Place in the flow: one of the node's event sinks; metrics/prometheus/exporter.h renders it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_sink.h"
#include "metrics/snapshot.h"

namespace sluice::metrics {

/// What `sluice_build_info` says. Empty fields read "none".
struct BuildInfo {
  std::string version;
  std::string ucx;
  std::string isa;
  std::string codec;
  std::string cuda;
};

/// What Counters must know before the first event.
struct CountersOptions {
  BuildInfo build;
  /// Words for the labels `choice` and `reason` of sluice_decisions_total: all that the scheduler can say.
  std::vector<std::string> decision_choices;
  std::vector<std::string> decision_reasons;
  /// Peers are labelled by the names of their greetings; names beyond so many share the label "other".
  std::size_t most_peers = 64;
};

/// Threads: every function from any; each holds one lock for a bounded time and does no I/O.
class Counters final : public EventSink {
 public:
  explicit Counters(CountersOptions options);
  ~Counters() override;
  Counters(const Counters&) = delete;
  Counters& operator=(const Counters&) = delete;

  void emit(const Event& event, Instant now) override;

  // Levels that no event carries: the composition root sets them when they change or before a scrape.
  /// Bytes of the staging ring by state.
  void set_pool(Bytes free, Bytes pinned, Bytes leased);
  /// Requests under way, and bytes encoded or received that wait for the next step.
  void set_inflight(std::uint64_t requests);
  void set_queue(Bytes waiting);

  Snapshot snapshot() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::metrics
