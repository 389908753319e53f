// Loading by the steps of this table.
#include "kernels/load.h"

#include "kernels/avx2/kernels.h"

namespace sluice::kernels::avx2 {

void load(const PlaneView& plane, const KvShape& shape, const LoadColumns& load, std::span<float> columns,
          std::span<float> scratch) {
  load_by_steps({.gather = gather, .to_columns = to_columns, .rotate = rotate}, plane, shape, load, columns, scratch);
}

}  // namespace sluice::kernels::avx2
