// Restoration by the steps of this table.
#include "kernels/restore.h"

#include "kernels/ref/kernels.h"

namespace sluice::kernels::ref {

void restore(const RestoreRows& rows, const KvShape& shape, const MutablePlaneView& plane, std::span<float> scratch) {
  restore_by_steps({.dequantize = dequantize, .rotate = rotate, .to_rows = to_rows, .scatter = scatter}, rows, shape,
                   plane, scratch);
}

}  // namespace sluice::kernels::ref
