// Small fixed tables keyed by Part: sizes of an offered unit's parts, and rates. Parts are sparse on the wire (0..3 and
// 16..18), so a table maps them to dense places.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "base/assert.h"
#include "base/identity.h"
#include "base/quantity.h"

namespace sluice::scheduler {

/// All parts there are: first the nested stages in order, then the parts that are a whole unit alone.
inline constexpr std::array<Part, 7> kAllParts = {
    Part::kBase, Part::kRefinement1, Part::kRefinement2, Part::kRefinement3, Part::kRaw, Part::kLossless, Part::kInt8};
/// How many of kAllParts are stages of the nested bitstream.
inline constexpr std::size_t kStageParts = 4;

/// Dense place of a part in kAllParts; kAllParts.size() for a number that is none.  Threads: pure.
constexpr std::size_t part_place(Part part) {
  // By arithmetic, since every look at a table asks: 0..3 as they are, 16..18 after them.
  const auto number = static_cast<std::size_t>(part);
  constexpr std::size_t kGap = static_cast<std::size_t>(Part::kRaw) - kStageParts;
  const std::size_t place = number < kStageParts ? number : number - kGap;
  return number >= kStageParts && number < static_cast<std::size_t>(Part::kRaw) ? kAllParts.size()
                                                                                : std::min(place, kAllParts.size());
}
static_assert(part_place(Part::kRefinement3) == 3 && part_place(Part::kRaw) == 4 && part_place(Part::kInt8) == 6);

/// The word for a part in names, labels and explanations.  Threads: pure.
constexpr std::string_view part_word(Part part) {
  constexpr std::array<std::string_view, kAllParts.size() + 1> kWords = {"base", "r1",       "r2",   "r3",
                                                                         "raw",  "lossless", "int8", "unknown"};
  return kWords[part_place(part)];
}

/// One value per part; unknown parts have no place and are asserted against.
template <typename Value>
class PartTable {
 public:
  constexpr PartTable() = default;
  constexpr explicit PartTable(Value everywhere) { values_.fill(everywhere); }
  constexpr const Value& operator[](Part part) const { return values_[checked(part)]; }
  constexpr Value& operator[](Part part) { return values_[checked(part)]; }
  constexpr bool operator==(const PartTable&) const = default;

 private:
  static constexpr std::size_t checked(Part part) {
    const std::size_t place = part_place(part);
    SLUICE_ASSERT(place < kAllParts.size());
    return place;
  }
  std::array<Value, kAllParts.size()> values_{};
};

/// Wire size of each part that a unit offers, headers included; zero means that the part is not offered.
using PartSizes = PartTable<Bytes>;

}  // namespace sluice::scheduler
