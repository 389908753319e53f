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
  /// something. Negative spans and empty deliveries are dropped.
  void on_delivery(Bytes bytes, Duration span, Instant now);
  /// The same on a link that had been idle: the sender's own delay is in `span`, so the link is at least that fast.
  /// Counts only until the link has been measured.
  void on_idle_delivery(Bytes bytes, Duration span, Instant now);
  /// Keeps the smallest of recent round trips: queueing is not distance.
  void on_rtt(Duration rtt, Instant now);

  /// The rate that the link was at or below for `quantile` of the recent backlogged time. Before any sample: the best
  /// idle delivery of late, else the nominal rate. After long silence: a quarter of nominal, or the last estimate where
  /// that is lower. Never zero.
  BitsPerSecond rate(PartsPerMillion quantile, Instant now) const;
  Duration rtt() const { return rtt_; }
  bool has_rtt() const { return has_rtt_; }
  /// False until a sample long enough has been seen.
  bool has_measured() const { return has_measured_; }
  /// Whether anything has been delivered yet, idle or not.
  bool has_seen_any() const { return !at_least_.is_zero() || seen_.bytes > 0; }
  /// Whether enough was seen to act on the rate where a mistake is dear: a few parts may all have passed in a bucket's
  /// burst.
  bool is_solid() const;
  /// How many times faster than its upper quantile the link may yet turn out to be: 4, 2, 1 as more of it is seen.
  std::uint64_t doubt(Instant now) const;

 private:
  /// Backlogged time and what was delivered in it, at rates of one bin: their ratio is the bin's exact mean rate.
  struct Bin {
    std::uint64_t nanoseconds = 0;
    std::uint64_t bytes = 0;
  };
  /// Eight bins per factor of two, from 2^10 to 2^42 bit/s.
  static constexpr std::size_t kBins = 32 * 8;

  /// A quantile that was read since the bins last changed.
  struct Memo {
    PartsPerMillion quantile;
    BitsPerSecond rate;
  };
  BitsPerSecond quantile_of_bins(PartsPerMillion quantile) const;

  static std::size_t bin_of(BitsPerSecond rate);
  void decay(Instant now);

  Options options_;
  std::array<Bin, kBins> bins_{};
  /// The last three quantiles read; rate zero: none. Reading is much more frequent than sampling.
  mutable std::array<Memo, 3> memo_{};
  Instant decayed_at_;
  Instant last_sample_;
  bool has_measured_ = false;
  Bytes pending_bytes_;
  Duration pending_span_{0};
  /// Backlogged time and bytes of all samples; capped.
  Bin seen_;
  BitsPerSecond at_least_;
  Instant at_least_at_;
  Duration rtt_;
  Instant rtt_at_;
  bool has_rtt_ = false;
};

}  // namespace sluice::scheduler
