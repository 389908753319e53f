// Rows [tokens][width] to columns [width][stride] and back, fp32.
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

}  // namespace sluice::kernels
