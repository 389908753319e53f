#include "transport/link_meter.h"

#include <algorithm>

namespace sluice::transport {

void LinkMeter::frame_began(Instant now, bool back_to_back) {
  counted_from_ = back_to_back && has_last_end_ ? last_end_ : now;
}

std::optional<LinkSample> LinkMeter::frame_ended(Bytes payload, Instant now) {
  sample_.received += payload;
  last_end_ = now;
  has_last_end_ = true;
  const Duration took = now - counted_from_;
  // A lone frame that was already whole in the kernel's buffer measures a memory copy.
  if (took < kShortest && counted_bytes_.is_zero()) return std::nullopt;
  counted_time_ += took;
  counted_bytes_ += payload;
  if (counted_time_ < kSampleTime && counted_bytes_ < kSampleBytes) return std::nullopt;
  return close_sample();
}

std::optional<LinkSample> LinkMeter::quiet() {
  has_last_end_ = false;
  if (counted_time_ >= kShortest) return close_sample();
  counted_time_ = Duration(0);
  counted_bytes_ = Bytes(0);
  return std::nullopt;
}

std::optional<LinkSample> LinkMeter::close_sample() {
  const BitsPerSecond rate = rate_of(counted_bytes_, counted_time_);
  counted_time_ = Duration(0);
  counted_bytes_ = Bytes(0);
  if (rate.is_zero()) return std::nullopt;
  sample_.rate = rate;
  sample_.maximum = std::max(sample_.maximum, rate);
  return sample_;
}

void LinkMeter::pong(Duration rtt) {
  sample_.rtt_min = sample_.rtt == Duration(0) ? rtt : std::min(sample_.rtt_min, rtt);
  sample_.rtt = rtt;
}

}  // namespace sluice::transport
