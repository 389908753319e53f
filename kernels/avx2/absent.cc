// In place of the AVX2 kernels where the compiler's target has none.
#include "kernels/table.h"

namespace sluice::kernels {

std::optional<KernelTable> avx2_kernels() { return std::nullopt; }

}  // namespace sluice::kernels
