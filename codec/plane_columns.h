// One plane (K or V of one layer) as fp32 columns, and how its K turns. A column is one channel of consecutive tokens;
// columns lie one after the other. Used by encoder and decoder, by the prediction of sizes and by calibration.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/identity.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec {

/// The coded tokens of one plane, and what moves them.
struct PlaneExtent {
  const kernels::KernelTable* kernels = nullptr;
  const kernels::KvShape* shape = nullptr;
  kernels::TokenRange range;
  std::uint64_t width() const { return shape->row_values(); }
};

/// Scratch memory of loading and restoration, which grows once: two strips of rows.
class StripScratch {
 public:
  std::span<float> of(std::uint64_t width);

 private:
  std::vector<float> rows_;
};

/// columns = [width][range.count].
void load_columns(const PlaneExtent& extent, const kernels::PlaneView& plane, std::span<float> columns,
                  StripScratch& scratch);

/// Turns every head of K. sine_sign: -1 takes RoPE off, 1 puts it on. `angles` may be empty: then nothing turns.
struct RopeTurn {
  const kernels::RopeSpec* rope = nullptr;
  const kernels::RopeAngles* angles = nullptr;
  float sine_sign = 1.0F;
};
void rotate_columns(const PlaneExtent& extent, const RopeTurn& turn, std::span<float> columns);

/// The angles of a unit's tokens in every layer: two sets, as layers with a local base have their own.
/// Threads: one call at a time.
class UnitRotation {
 public:
  /// Tokens at first_position, +1, ...; first_layer: of the unit in the model.
  void start(const kernels::RopeSpec& rope, LayerIndex first_layer, std::uint64_t first_position, std::uint64_t tokens);
  /// How K of the unit's layer number `layer` turns. Views this object.
  RopeTurn turn(std::size_t layer, float sine_sign) const;

 private:
  struct Angles {
    kernels::RopeSpec rope;
    kernels::RopeAngles angles;
  };
  kernels::RopeSpec rope_;
  std::uint64_t first_layer_ = 0;
  Angles all_, local_;
};

}  // namespace sluice::codec
