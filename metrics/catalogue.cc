#include "metrics/catalogue.h"

namespace sluice::metrics {
namespace {

constexpr SeriesKind kCounter = SeriesKind::kCounter;
constexpr SeriesKind kGauge = SeriesKind::kGauge;
constexpr SeriesKind kHistogram = SeriesKind::kHistogram;

constexpr std::array<MetricEntry, kMetricCount> kCatalogue = {{
    {Metric::kBuildInfo,
     "sluice_build_info",
     kGauge,
     "What this node was built with; always 1.",
     {"version", "ucx", "isa", "codec", "cuda"}},
    {Metric::kTransfers,
     "sluice_transfers_total",
     kCounter,
     "Requests that ended, by how they ended.",
     {"direction", "peer", "transport", "outcome"}},
    {Metric::kTransferSeconds,
     "sluice_transfer_seconds",
     kHistogram,
     "Time from a request's opening to its end.",
     {"direction", "class"}},
    {Metric::kStageSeconds, "sluice_stage_seconds", kHistogram, "Time of one step of a request.", {"stage"}},
    {Metric::kBytes,
     "sluice_bytes_total",
     kCounter,
     "Bytes moved: as they were on the wire, and as the engine holds the same rows.",
     {"direction", "peer", "transport", "kind"}},
    {Metric::kDecisions,
     "sluice_decisions_total",
     kCounter,
     "Decisions of the scheduler and their pinned reasons.",
     {"choice", "reason"}},
    {Metric::kSloSlackSeconds,
     "sluice_slo_slack_seconds",
     kHistogram,
     "Time left to the deadline when a received request ended; negative is late.",
     {"class"}},
    {Metric::kSloMissed,
     "sluice_slo_missed_total",
     kCounter,
     "Received requests that ended after their deadline, by what took longest.",
     {"class", "cause"}},
    {Metric::kPredictedOverActual,
     "sluice_predicted_over_actual_ratio",
     kHistogram,
     "Predicted time over the time it took; 1 is honest.",
     {"what"}},
    {Metric::kLinkBandwidth,
     "sluice_link_bandwidth_bytes_per_second",
     kGauge,
     "Rate measured from a peer while its link was backlogged.",
     {"peer"}},
    {Metric::kLinkRtt, "sluice_link_rtt_seconds", kGauge, "Round-trip time to a peer.", {"peer"}},
    {Metric::kLinkState,
     "sluice_link_state",
     kGauge,
     "1 for the state that the session with a peer is in.",
     {"peer", "state"}},
    {Metric::kLinkInfo,
     "sluice_link_info",
     kGauge,
     "Which transport carries a peer's units, which was wanted, and why; always 1.",
     {"peer", "wanted", "actual", "reason"}},
    {Metric::kInflight, "sluice_inflight", kGauge, "Requests under way.", {"class"}},
    {Metric::kQueueBytes, "sluice_queue_bytes", kGauge, "Bytes that wait for their next step.", {"class"}},
    {Metric::kPoolBytes, "sluice_pool_bytes", kGauge, "Bytes of the staging ring by state.", {"state"}},
    {Metric::kIntegrityFailures,
     "sluice_integrity_failures_total",
     kCounter,
     "Units that were refused before decode: nothing of them was used.",
     {"cause"}},
    {Metric::kLeaseExpired, "sluice_lease_expired_total", kCounter, "Leases that ended without their unit.", {"cause"}},
    {Metric::kRetries, "sluice_retries_total", kCounter, "Parts that had to be asked for again.", {"cause"}},
    {Metric::kFallback,
     "sluice_fallback_total",
     kCounter,
     "Requests that the engine computed itself after all.",
     {"cause"}},
    {Metric::kHandshakesRefused,
     "sluice_handshakes_refused_total",
     kCounter,
     "Sessions refused because two nodes do not fit together, by the first field that differs.",
     {"field"}},
    {Metric::kCircuitsOpened,
     "sluice_circuits_opened_total",
     kCounter,
     "Times that a peer of the configuration had failed so often in a row that it was left alone for a while.",
     {"cause"}},
}};

constexpr bool is_in_order() {
  for (std::size_t place = 0; place < kCatalogue.size(); ++place) {
    if (static_cast<std::size_t>(kCatalogue[place].metric) != place) return false;
  }
  return true;
}
static_assert(is_in_order());

}  // namespace

std::span<const MetricEntry> catalogue() { return kCatalogue; }

}  // namespace sluice::metrics
