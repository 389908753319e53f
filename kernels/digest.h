// Digests of bytes: seeded XXH3 with 64 bits. Guards against damage, not against an adversary (sessions authenticate).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::kernels {

/// XXH3-64 of `bytes` under `seed`.  Exact: equal on every machine.  Threads: pure.
using DigestFn = std::uint64_t(std::span<const std::byte> bytes, std::uint64_t seed);

}  // namespace sluice::kernels
