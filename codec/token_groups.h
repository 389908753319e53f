// The coded tokens of a stream, put together by step: within a group every token of a coefficient is quantised alike
// and coded by one table. Without a profile the groups are ordinary and fine tokens, which stand in order already; with
// one they are token classes, anywhere in the unit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/profile.h"

namespace sluice::codec {

/// Tokens of one group are consecutive **places**: group g has the places first[g] .. first[g + 1).
struct TokenGroups {
  std::size_t groups = 0;
  std::array<std::size_t, kMaxTokenClasses + 1> first{};
  /// [coded] token at each place, counted from the first coded one; empty where places are tokens.
  std::vector<std::uint32_t> token_at;
  std::vector<std::uint32_t> place_of;  ///< [coded] the inverse

  std::size_t coded() const { return first[groups]; }
  std::size_t count(std::size_t group) const { return first[group + 1] - first[group]; }
};

/// Two groups in the order of tokens.
void group_by_age(std::size_t ordinary, std::size_t fine, TokenGroups& groups);

/// Groups by class index; tokens of a class keep their order.  Precondition: class_of[i] < classes.
void group_by_class(std::span<const std::uint8_t> class_of, std::size_t classes, TokenGroups& groups);

}  // namespace sluice::codec
