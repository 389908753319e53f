// Rows [tokens][width] to columns [width][stride] and back, and columns in another order; fp32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::kernels {

/// rows = [tokens][width]; columns = [width][stride]; row t goes to column entries first + t.
struct TransposeExtent {
  std::uint64_t tokens = 0;
  std::uint64_t width = 0;
  std::uint64_t first = 0;
  std::uint64_t stride = 0;
};
using ToColumnsFn = void(std::span<const float> rows, TransposeExtent extent, std::span<float> columns);
using ToRowsFn = void(std::span<const float> columns, TransposeExtent extent, std::span<float> rows);

/// Entry i of every column becomes what entry from[i] was.
/// Shape:   columns = [width][from.size()], out alike.  Aliasing: none.  Precondition: from[i] < from.size().
using ReorderFn = void(std::span<const float> columns, std::span<const std::uint32_t> from, std::span<float> out);

}  // namespace sluice::kernels
