#include "scheduler/cost.h"

namespace sluice::scheduler {
namespace {

constexpr std::uint64_t kPicosecondsPerNanosecond = 1000;

Duration saturated(WideCount nanoseconds) {
  const auto largest = static_cast<WideCount>(Duration::max().count());
  return Duration(static_cast<std::int64_t>(nanoseconds < largest ? nanoseconds : largest));
}

}  // namespace

Duration prefill_time(const PrefillCost& cost, Tokens tokens) {
  // More tokens than this cannot exist; the cap keeps the pair term inside 128 bits.
  constexpr std::uint64_t kMostTokens = std::uint64_t{1} << 31;
  const std::uint64_t n = tokens.count() < kMostTokens ? tokens.count() : kMostTokens;
  const WideCount pairs = n == 0 ? 0 : static_cast<WideCount>(n) * (n - 1) / 2;
  const WideCount picoseconds =
      static_cast<WideCount>(n) * cost.picoseconds_per_token + pairs * cost.picoseconds_per_token_pair;
  const WideCount rounded = (picoseconds + kPicosecondsPerNanosecond - 1) / kPicosecondsPerNanosecond;
  return saturated(rounded + static_cast<WideCount>(cost.fixed.count()));
}

PartTable<BitsPerSecond> DecodeCosts::default_rates() {
  PartTable<BitsPerSecond> rates(BitsPerSecond(800'000'000));
  rates[Part::kRaw] = BitsPerSecond(16'000'000'000);
  rates[Part::kInt8] = BitsPerSecond(4'000'000'000);
  return rates;
}

Duration decode_time(const DecodeCosts& costs, Part part, Bytes raw) {
  const Duration rows = time_to_send(raw, costs.rate[part]);
  return rows > Duration::max() - costs.per_part ? Duration::max() : rows + costs.per_part;
}

}  // namespace sluice::scheduler
