// XXH3-64 through libxxhash: the only place of the kernels that knows it.
#include "kernels/digest.h"

#include <xxhash.h>

#include "kernels/ref/kernels.h"

namespace sluice::kernels::ref {

std::uint64_t digest(std::span<const std::byte> bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace sluice::kernels::ref
