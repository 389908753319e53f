#include "codec/coefficient_class.h"

#include <cmath>
#include <cstdlib>

#include "base/assert.h"

namespace sluice::codec {
namespace {

constexpr float kEscapeBits = 8;
constexpr float kLongEscapeBits = 24;

std::uint32_t frequency_of(const kernels::RansTable& table, std::size_t symbol) {
  return kernels::kRansSlots - table.encode[symbol].complement;
}

}  // namespace

ClassCosts::ClassCosts() : tables_(make_static_tables()), slots_bits_(kernels::kRansSlots + 1) {
  slots_bits_[0] = INFINITY;
  for (std::size_t i = 1; i < slots_bits_.size(); ++i) slots_bits_[i] = 8.0F - std::log2(static_cast<float>(i));
}

float ClassCosts::index_bits(std::size_t coefficient_class, std::int32_t index) const {
  SLUICE_ASSERT(coefficient_class < kCodedClasses);
  const ClassCode code = class_code(coefficient_class);
  const std::int32_t high = (index + (1 << code.low_bits >> 1)) >> code.low_bits;
  const std::int32_t magnitude = std::abs(high);
  const std::int32_t largest = tables_->largest[code.table];
  const kernels::RansTable& table = tables_->base[code.table];
  const float low = code.low_bits;
  if (magnitude > largest) {
    const float escape = magnitude - largest - 1 < kLongEscape ? kEscapeBits : kLongEscapeBits;
    return low + escape + slots_bits_[frequency_of(table, static_cast<std::size_t>(2 * largest + 1))];
  }
  const auto symbol = static_cast<std::size_t>(2 * magnitude - (high > 0 ? 1 : 0));
  return low + slots_bits_[frequency_of(table, symbol)];
}

float ClassCosts::refinement_bits(std::size_t stage, std::size_t universal_class, std::size_t context,
                                  std::int32_t difference) const {
  SLUICE_ASSERT(stage >= 1 && stage <= 2 && universal_class < kClasses && difference >= -1 && difference <= 2);
  const kernels::RansTable& table = tables_->refinement[stage - 1][universal_class].tables[context];
  const auto symbol = static_cast<std::size_t>(difference + 1);
  return symbol < table.lookup.symbols ? slots_bits_[frequency_of(table, symbol)] : kNeverBits;
}

}  // namespace sluice::codec
