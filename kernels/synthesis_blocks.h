// The inverse transform in blocks of kRows rows x two registers of places, all sums in registers; the instruction set
// is a parameter. Of a strip of places only those coefficients are dequantised, side by side in the first-level cache,
// that are not 0 in all of it: the others would add nothing. Tokens of one class are neighbours among places, so whole
// strips of a coefficient are silent. A coefficient that is 0 at some places of a strip adds a zero there, which
// changes no sum: sums start at +0 and never become -0 unless a product underflows.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "base/assert.h"
#include "kernels/transform.h"
#include "kernels/transform_blocks.h"

namespace sluice::kernels {

/// Vector: a register of kFloats values, load, store, zero, broadcast, multiply_add, and reconstruct, which dequantises
/// 2 kFloats places and says whether any index is not 0. kRows: as many as registers hold sums.
template <typename Vector, std::size_t kRows>
class BlockedSynthesis {
 public:
  static void run(const IndexedCoefficients& in, std::span<const float> basis, std::span<float> out) {
    const std::size_t places = in.steps.size();
    if (places == 0) return;
    const std::size_t rows = out.size() / places;
    SLUICE_ASSERT(basis.size() * places == in.indices.size() * rows && out.size() == rows * places);
    Panel panel;
    for (std::size_t place = 0; place < places; place += kPlaces) {
      const Strip strip{.in = in, .first = place, .count = std::min(kPlaces, places - place)};
      std::size_t coefficient = 0;
      do {
        const bool is_first = coefficient == 0;
        coefficient = panel.fill(strip, coefficient, rows);
        const Block block{.basis = basis.data(),
                          .panel = &panel,
                          .is_first = is_first,
                          .out = out.data() + place,
                          .out_stride = places};
        strip.count == kPlaces ? multiply_rows(block, rows) : multiply_narrow(block, rows, strip.count);
      } while (coefficient * places < in.indices.size());
    }
  }

 private:
  static constexpr std::size_t kFloats = Vector::kFloats;
  static constexpr std::size_t kPlaces = 2 * kFloats;
  static constexpr std::size_t kInner = 4096 / kPlaces;  // 16 KiB of coefficients: first-level cache

  struct Strip {
    const IndexedCoefficients& in;
    std::size_t first = 0;
    std::size_t count = 0;
  };

  // Up to kInner coefficients of a strip that are not silent.
  struct Panel {
    alignas(64) float columns[kInner * kPlaces];
    std::array<std::size_t, kInner> basis_at;  // where the basis vector of each begins
    std::size_t size = 0;

    // Returns the first coefficient that was not looked at.
    std::size_t fill(const Strip& strip, std::size_t coefficient, std::size_t rows) {
      const std::size_t places = strip.in.steps.size();
      const std::int16_t* indices = strip.in.indices.data() + coefficient * places + strip.first;
      const float* const steps = strip.in.steps.data() + strip.first;
      std::array<std::int16_t, kPlaces> last{};
      std::array<float, kPlaces> last_steps{};
      std::copy_n(steps, strip.count, last_steps.begin());
      size = 0;
      for (; coefficient * places < strip.in.indices.size() && size < kInner; ++coefficient, indices += places) {
        float* const column = columns + size * kPlaces;
        const auto reconstruct = [&](const std::int16_t* from, const float* by) {
          return Vector::reconstruct(from, by, strip.in.unit_magnitude, column);
        };
        basis_at[size] = coefficient * rows;
        if (strip.count == kPlaces) {
          size += reconstruct(indices, steps) ? 1 : 0;
          continue;
        }
        std::memcpy(last.data(), indices, strip.count * sizeof(std::int16_t));
        size += reconstruct(last.data(), last_steps.data()) ? 1 : 0;
      }
      return coefficient;
    }
  };

  struct Block {
    const float* basis;  // of the block's first row
    const Panel* panel;
    bool is_first;  // sums start here, or go on with what is in `out`
    float* out;
    std::size_t out_stride;
  };

  using Row = RowSums<Vector>;

  // Row numbers are constants, as in the other product.
  template <std::size_t... kRow>
  static void multiply(const Block& block, std::index_sequence<kRow...>) {
    const auto start = [&](const float* out) {
      return block.is_first ? Row{Vector::zero(), Vector::zero()} : Row::load(out);
    };
    std::array<Row, sizeof...(kRow)> sums{start(block.out + kRow * block.out_stride)...};
    const Panel& panel = *block.panel;
    for (std::size_t i = 0; i < panel.size; ++i) {
      const Row column = Row::load(panel.columns + i * kPlaces);
      const float* const basis = block.basis + panel.basis_at[i];
      (sums[kRow].add(Vector::broadcast(basis + kRow), column), ...);
    }
    (sums[kRow].store(block.out + kRow * block.out_stride), ...);
  }

  static void multiply_rows(const Block& block, std::size_t rows) {
    for_each_row_block<kRows>(rows, [&](std::size_t first, auto numbers) {
      Block own = block;
      own.basis += first;
      own.out += first * block.out_stride;
      multiply(own, numbers);
    });
  }

  static void multiply_narrow(const Block& block, std::size_t rows, std::size_t places) {
    const auto multiply_some = [&](std::size_t row, std::size_t height, float* padded) {
      Block own = block;
      own.basis += row;
      own.out = padded;
      own.out_stride = kPlaces;
      multiply_rows(own, height);
    };
    multiply_padded<kRows, kPlaces>({block.out, block.out_stride, rows, places}, multiply_some);
  }
};

/// All coefficients, with the same Vector.
template <typename Vector>
void reconstruct_blocks(const IndexedCoefficients& in, std::span<float> out) {
  constexpr std::size_t kPlaces = 2 * Vector::kFloats;
  const std::size_t places = in.steps.size();
  SLUICE_ASSERT(out.size() == in.indices.size());
  std::array<std::int16_t, kPlaces> last{};
  std::array<float, kPlaces> last_steps{};
  alignas(64) std::array<float, kPlaces> last_out;
  const std::size_t whole = places / kPlaces * kPlaces, rest = places - whole;
  std::copy_n(in.steps.data() + whole, rest, last_steps.begin());
  for (std::size_t at = 0; at < out.size(); at += places) {
    for (std::size_t place = 0; place < whole; place += kPlaces) {
      Vector::reconstruct(in.indices.data() + at + place, in.steps.data() + place, in.unit_magnitude,
                          out.data() + at + place);
    }
    if (rest == 0) continue;
    std::memcpy(last.data(), in.indices.data() + at + whole, rest * sizeof(std::int16_t));
    Vector::reconstruct(last.data(), last_steps.data(), in.unit_magnitude, last_out.data());
    std::memcpy(out.data() + at + whole, last_out.data(), rest * sizeof(float));
  }
}

}  // namespace sluice::kernels
