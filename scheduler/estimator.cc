#include "scheduler/estimator.h"

#include <algorithm>
#include <bit>

namespace sluice::scheduler {
namespace {

/// A sample shorter than both says more about timers and batching than about the link.
constexpr Duration kShortestSpan{5'000'000};
constexpr Bytes kLargestSample{4 * 1024 * 1024};
/// The very first sample may be shorter: any measurement is better than a nominal figure.
constexpr Duration kFirstSpan{1'000'000};
constexpr Bytes kFirstSample{256 * 1024};
/// Weight halves in 8 such steps, that is in half a second: old enough to smooth, young enough to follow a flap.
constexpr Duration kDecayStep{62'500'000};
/// 2^(-1/8) in 256ths.
constexpr std::uint64_t kDecayFactor = 235;
constexpr std::int64_t kMostDecaySteps = 256;
constexpr Duration kLongSilence{30'000'000'000};
constexpr std::uint64_t kSilencePart = 4;
constexpr Duration kRttWindow{10'000'000'000};
/// An idle delivery tells of the link for so long.
constexpr Duration kIdleWindow{10'000'000'000};
/// What makes an estimate solid, and what takes the doubt from it: time, or on fast links bytes.
constexpr Duration kSolidSpan{10'000'000};
constexpr Bytes kSolidBytes{256 * 1024};
constexpr Duration kSettledSpan{100'000'000};
constexpr Bytes kSettledBytes{8 * 1024 * 1024};
constexpr int kLowestLog = 10;
/// No bin may hold more: products with the decay factor stay inside 64 bits.
constexpr std::uint64_t kFullBin = std::uint64_t{1} << 54;

std::uint64_t added(std::uint64_t held, std::uint64_t more) {
  return std::min(kFullBin, held + std::min(kFullBin, more));
}

}  // namespace

LinkEstimator::LinkEstimator(Options options) : options_(options), rtt_(options.nominal_rtt) {
  SLUICE_ASSERT(!options.nominal_rate.is_zero());
}

std::size_t LinkEstimator::bin_of(BitsPerSecond rate) {
  const std::uint64_t bits = rate.count();
  const int log = static_cast<int>(std::bit_width(bits)) - 1;
  if (log < kLowestLog) return 0;
  const std::uint64_t eighths = (bits >> (log - 3)) & 7U;
  return std::min(kBins - 1, static_cast<std::size_t>(log - kLowestLog) * 8 + eighths);
}

void LinkEstimator::decay(Instant now) {
  const std::int64_t steps = std::min((now - decayed_at_) / kDecayStep, kMostDecaySteps);
  if (steps <= 0) return;
  decayed_at_ = now;
  for (Bin& bin : bins_) {
    for (std::int64_t step = 0; step < steps && bin.nanoseconds != 0; ++step) {
      bin.nanoseconds = bin.nanoseconds * kDecayFactor / 256;
      bin.bytes = bin.bytes * kDecayFactor / 256;
    }
  }
}

void LinkEstimator::on_delivery(Bytes bytes, Duration span, Instant now) {
  if (span.count() < 0 || bytes.is_zero()) return;
  pending_bytes_ += std::min(bytes, Bytes(kFullBin));
  pending_span_ += std::min(span, kLongSilence);
  seen_.nanoseconds = added(seen_.nanoseconds, static_cast<std::uint64_t>(span.count()));
  seen_.bytes = added(seen_.bytes, bytes.count());
  const Duration shortest = has_measured_ ? std::max(kShortestSpan, std::min(rtt_, kDecayStep)) : kFirstSpan;
  const Bytes largest = has_measured_ ? kLargestSample : kFirstSample;
  if (pending_span_ < shortest && (pending_bytes_ < largest || pending_span_.count() == 0)) return;
  decay(now);
  Bin& bin = bins_[bin_of(rate_of(pending_bytes_, pending_span_))];
  bin.nanoseconds = added(bin.nanoseconds, static_cast<std::uint64_t>(pending_span_.count()));
  bin.bytes = added(bin.bytes, pending_bytes_.count());
  memo_ = {};
  pending_bytes_ = Bytes(0);
  pending_span_ = Duration(0);
  last_sample_ = now;
  has_measured_ = true;
}

void LinkEstimator::on_idle_delivery(Bytes bytes, Duration span, Instant now) {
  const BitsPerSecond rate = rate_of(bytes, span);
  if (rate.is_zero() || (rate < at_least_ && now - at_least_at_ < kIdleWindow)) return;
  at_least_ = rate;
  at_least_at_ = now;
}

bool LinkEstimator::is_solid() const {
  return has_measured_ &&
         (seen_.nanoseconds >= static_cast<std::uint64_t>(kSolidSpan.count()) || seen_.bytes >= kSolidBytes.count());
}

std::uint64_t LinkEstimator::doubt(Instant now) const {
  if (!is_solid() || now - last_sample_ > kLongSilence) return 4;
  const bool is_settled =
      seen_.nanoseconds >= static_cast<std::uint64_t>(kSettledSpan.count()) || seen_.bytes >= kSettledBytes.count();
  return is_settled ? 1 : 2;
}

void LinkEstimator::on_rtt(Duration rtt, Instant now) {
  if (rtt.count() <= 0) return;
  if (has_rtt_ && rtt > rtt_ && now - rtt_at_ < kRttWindow) return;
  rtt_ = rtt;
  rtt_at_ = now;
  has_rtt_ = true;
}

BitsPerSecond LinkEstimator::rate(PartsPerMillion quantile, Instant now) const {
  SLUICE_ASSERT(quantile.count() <= 1'000'000);
  if (!has_measured_) return at_least_.is_zero() ? options_.nominal_rate : at_least_;
  BitsPerSecond found(0);
  for (const Memo& memo : memo_) {
    if (memo.quantile == quantile) found = memo.rate;
  }
  if (found.is_zero()) {
    found = quantile_of_bins(quantile);
    std::move_backward(memo_.begin(), memo_.end() - 1, memo_.end());
    memo_[0] = Memo{quantile, found};
  }
  if (now - last_sample_ > kLongSilence) found = std::min(found, options_.nominal_rate / kSilencePart);
  return std::max(found, BitsPerSecond(1));
}

BitsPerSecond LinkEstimator::quantile_of_bins(PartsPerMillion quantile) const {
  WideCount total = 0;
  for (const Bin& bin : bins_) total += bin.nanoseconds;
  const WideCount wanted = total * quantile.count() / 1'000'000U;
  WideCount below = 0;
  BitsPerSecond found(0);
  for (const Bin& bin : bins_) {
    if (bin.nanoseconds == 0 || bin.bytes == 0) continue;
    found = rate_of(Bytes(bin.bytes), Duration(static_cast<std::int64_t>(bin.nanoseconds)));
    below += bin.nanoseconds;
    if (below >= wanted) break;
  }
  return found;
}

}  // namespace sluice::scheduler
