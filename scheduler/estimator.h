// Ingress throughput as integers: a decayed histogram of delivery rates that were seen while the link was the
// bottleneck, from which any quantile can be read. Silence is not an estimate: it falls back to a stated part of the
// nominal rate.
// Invariant: same samples at same times -> same estimates, on any machine.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"
#include "base/quantity.h"

namespace sluice::scheduler {

/// Threads: one at a time.
class LinkEstimator {
 public:
  struct Options {
    BitsPerSecond nominal_rate{1'000'000'000};
    Duration nominal_rtt{1'000'000};
  };
  explicit LinkEstimator(Options options);

  /// `bytes` took `span` on a link that had more waiting. Short samples are joined until they are long enough to mean
  /// something. Non-positive spans are dropped.
  void on_delivery(Bytes bytes, Duration span, Instant now);
  /// Keeps the smallest of recent round trips: queueing is not distance.
  void on_rtt(Duration rtt, Instant now);

  /// The rate that `quantile` of recently delivered bytes were below. Before any sample: the nominal rate. After long
  /// silence: a quarter of nominal, or the last estimate where that is lower.
  BitsPerSecond rate(PartsPerMillion quantile, Instant now) const;
  Duration rtt() const { return rtt_; }
  /// False until a sample long enough has been seen.
  bool has_measured() const { return last_sample_ != Instant::never(); }

 private:
  /// Eight bins per factor of two, from 2^10 to 2^42 bit/s.
  static constexpr std::size_t kBins = 32 * 8;

  void decay(Instant now);

  Options options_;
  std::array<std::uint64_t, kBins> weights_{};
  Instant decayed_at_;
  Instant last_sample_ = Instant::never();
  Bytes pending_bytes_;
  Duration pending_span_{0};
  Duration rtt_;
  Instant rtt_at_;
};

}  // namespace sluice::scheduler
