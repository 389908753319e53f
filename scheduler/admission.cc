#include "scheduler/admission.h"

#include <algorithm>

namespace sluice::scheduler {
namespace {

constexpr std::int64_t kWhole = 1'000'000;

}  // namespace

Duration Admission::stretched(Duration forecast) const {
  if (forecast.count() <= 0) return forecast;
  const WideCount wide =
      static_cast<WideCount>(forecast.count()) * static_cast<std::uint64_t>(kWhole + margin_) / kWhole;
  const auto most = static_cast<WideCount>(Duration::max().count());
  return Duration(static_cast<std::int64_t>(std::min(wide, most)));
}

void Admission::on_end(bool was_kept) {
  ++promised_;
  kept_ += was_kept ? 1 : 0;
  const auto sure = static_cast<std::int64_t>(probability_.count());
  const std::int64_t change = was_kept ? -kStep * (kWhole - sure) / kWhole : kStep * sure / kWhole;
  margin_ = std::clamp(margin_ + change, kSmallestMargin, kLargestMargin);
}

}  // namespace sluice::scheduler
