#include "codec/token_groups.h"

#include "base/assert.h"

namespace sluice::codec {

void group_by_age(std::size_t ordinary, std::size_t fine, TokenGroups& groups) {
  groups.groups = 2;
  groups.first = {0, ordinary, ordinary + fine};
  groups.token_at.clear();
  groups.place_of.clear();
}

void group_by_class(std::span<const std::uint8_t> class_of, std::size_t classes, TokenGroups& groups) {
  SLUICE_ASSERT(classes <= kMaxTokenClasses);
  groups.groups = classes;
  groups.first.fill(0);
  for (const std::uint8_t token_class : class_of) ++groups.first[token_class + 1U];
  for (std::size_t i = 0; i < classes; ++i) groups.first[i + 1] += groups.first[i];
  groups.token_at.resize(class_of.size());
  groups.place_of.resize(class_of.size());
  std::array<std::size_t, kMaxTokenClasses + 1> next = groups.first;
  for (std::size_t token = 0; token < class_of.size(); ++token) {
    const std::size_t place = next[class_of[token]]++;
    groups.token_at[place] = static_cast<std::uint32_t>(token);
    groups.place_of[token] = static_cast<std::uint32_t>(place);
  }
}

}  // namespace sluice::codec
