// Quantities with units: no bare integer crosses a header unless it has no unit. Index, count and size are different
// types. Arithmetic is checked: a wrap is a programmer error and stops the program.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/assert.h"

namespace sluice {

/// A count of one kind of thing, for instance Quantity<BytesTag>. Explicit to enter, `count()` to leave.
/// Threads: a value.
template <typename Tag>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(std::uint64_t count) : count_(count) {}

  constexpr std::uint64_t count() const { return count_; }
  constexpr bool is_zero() const { return count_ == 0; }
  static constexpr Quantity max() { return Quantity(std::numeric_limits<std::uint64_t>::max()); }

  constexpr auto operator<=>(const Quantity&) const = default;

  constexpr Quantity& operator+=(Quantity other) {
    SLUICE_ASSERT(other.count_ <= std::numeric_limits<std::uint64_t>::max() - count_);
    count_ += other.count_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity other) {
    SLUICE_ASSERT(other.count_ <= count_);
    count_ -= other.count_;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity left, Quantity right) { return left += right; }
  friend constexpr Quantity operator-(Quantity left, Quantity right) { return left -= right; }
  friend constexpr Quantity operator*(Quantity left, std::uint64_t factor) {
    SLUICE_ASSERT(factor == 0 || left.count_ <= std::numeric_limits<std::uint64_t>::max() / factor);
    return Quantity(left.count_ * factor);
  }
  /// Rounds towards zero.
  friend constexpr Quantity operator/(Quantity left, std::uint64_t divisor) {
    SLUICE_ASSERT(divisor != 0);
    return Quantity(left.count_ / divisor);
  }
  /// How many whole times `right` fits into `left`: a plain number.
  friend constexpr std::uint64_t operator/(Quantity left, Quantity right) {
    SLUICE_ASSERT(right.count_ != 0);
    return left.count_ / right.count_;
  }

 private:
  std::uint64_t count_ = 0;
};

using Bytes = Quantity<struct BytesTag>;
using Tokens = Quantity<struct TokensTag>;
using Layers = Quantity<struct LayersTag>;
using Heads = Quantity<struct HeadsTag>;
/// Length of one head's vector, in values.
using HeadDim = Quantity<struct HeadDimTag>;
using Units = Quantity<struct UnitsTag>;
using Stages = Quantity<struct StagesTag>;
using BitsPerSecond = Quantity<struct BitsPerSecondTag>;
/// A ratio in millionths; 1.0 is 1,000,000. Used where a decision may not touch floating point.
using PartsPerMillion = Quantity<struct PartsPerMillionTag>;

using Duration = std::chrono::nanoseconds;

/// Room for products of two counts. (__extension__: ISO C++ has no 128-bit integer; both compilers of the tree do.)
__extension__ typedef unsigned __int128 WideCount;

/// Time that `size` takes on a link of `rate`, rounded up; saturates at Duration::max().
/// Units: bytes, bits per second -> nanoseconds.  Precondition: rate is not zero.  Threads: pure.
constexpr Duration time_to_send(Bytes size, BitsPerSecond rate) {
  SLUICE_ASSERT(!rate.is_zero());
  const WideCount bit_nanoseconds = static_cast<WideCount>(size.count()) * 8U * 1'000'000'000U;
  const WideCount nanoseconds = (bit_nanoseconds + rate.count() - 1) / rate.count();
  const WideCount largest = static_cast<WideCount>(Duration::max().count());
  return Duration(static_cast<std::int64_t>(nanoseconds < largest ? nanoseconds : largest));
}

/// Bytes that a link of `rate` carries in `span`, rounded down; zero for a negative span; saturates.
/// Threads: pure.
constexpr Bytes sent_within(Duration span, BitsPerSecond rate) {
  if (span.count() <= 0) return Bytes(0);
  const WideCount size = static_cast<WideCount>(span.count()) * rate.count() / 8U / 1'000'000'000U;
  const WideCount largest = std::numeric_limits<std::uint64_t>::max();
  return Bytes(static_cast<std::uint64_t>(size < largest ? size : largest));
}

/// Average rate of `size` sent in `span`, rounded down; zero for a span of zero or less; saturates.
/// Threads: pure.
constexpr BitsPerSecond rate_of(Bytes size, Duration span) {
  if (span.count() <= 0) return BitsPerSecond(0);
  const WideCount rate =
      static_cast<WideCount>(size.count()) * 8U * 1'000'000'000U / static_cast<std::uint64_t>(span.count());
  const WideCount largest = std::numeric_limits<std::uint64_t>::max();
  return BitsPerSecond(static_cast<std::uint64_t>(rate < largest ? rate : largest));
}

}  // namespace sluice
