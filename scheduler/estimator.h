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
  /// something. Spans of zero or less and empty deliveries are dropped.
  void on_delivery(Bytes bytes, Duration span, Instant now);
  /// Keeps the smallest of recent round trips: queueing is not distance.
  void on_rtt(Duration rtt, Instant now);

  /// The rate that the link was at or below for `quantile` of the recent backlogged time. Before any sample: the
  /// nominal rate. After long silence: a quarter of nominal, or the last estimate where that is lower. Never zero.
  BitsPerSecond rate(PartsPerMillion quantile, Instant now) const;
  Duration rtt() const { return rtt_; }
  /// False until a sample long enough has been seen.
  bool has_measured() const { return has_measured_; }

 private:
  /// Backlogged time and what was delivered in it, at rates of one bin: their ratio is the bin's exact mean rate.
  struct Bin {
    std::uint64_t nanoseconds = 0;
    std::uint64_t bytes = 0;
  };
  /// Eight bins per factor of two, from 2^10 to 2^42 bit/s.
  static constexpr std::size_t kBins = 32 * 8;

  static std::size_t bin_of(BitsPerSecond rate);
  void decay(Instant now);

  Options options_;
  std::array<Bin, kBins> bins_{};
  Instant decayed_at_;
  Instant last_sample_;
  bool has_measured_ = false;
  Bytes pending_bytes_;
  Duration pending_span_{0};
  Duration rtt_;
  Instant rtt_at_;
  bool has_rtt_ = false;
};

}  // namespace sluice::scheduler
