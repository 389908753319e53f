// In place of the AVX-512 kernels where the compiler's target has none.
#include "kernels/table.h"

namespace sluice::kernels {

std::optional<KernelTable> avx512_kernels() { return std::nullopt; }

}  // namespace sluice::kernels
