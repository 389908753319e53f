// Little-endian loads and stores at any alignment. Every number of a frame or container passes through here.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/assert.h"

namespace sluice::codec {

static_assert(std::endian::native == std::endian::little);

/// The T at bytes[offset, ...).  Precondition: it lies inside.  Threads: pure.
template <typename T>
T load(std::span<const std::byte> bytes, std::size_t offset) {
  static_assert(std::is_trivially_copyable_v<T>);
  SLUICE_ASSERT(offset + sizeof(T) <= bytes.size());
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// Writes `value` at bytes[offset, ...).  Precondition: it lies inside.
template <typename T>
void store(std::span<std::byte> bytes, std::size_t offset, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  SLUICE_ASSERT(offset + sizeof(T) <= bytes.size());
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

/// `size` rounded up to a multiple of `step`.
constexpr std::size_t padded(std::size_t size, std::size_t step) { return (size + step - 1) / step * step; }

}  // namespace sluice::codec
