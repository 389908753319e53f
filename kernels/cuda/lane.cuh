// The thin device layer: what a kernel body may ask of the warp that runs it. A body takes its lane as a template
// parameter: CudaLane maps to intrinsics here, EmulatedLane (emulator.h) to fibers on a CPU, so that one source is
// compiled for cards and tested without one. A block is one warp of 32 lanes.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define SLUICE_DEVICE __host__ __device__
#else
#define SLUICE_DEVICE
#endif

namespace sluice::kernels::cuda {

inline constexpr std::uint32_t kWarpLanes = 32;

#if defined(__CUDACC__)
/// One thread of the warp that executes. Collectives are for all 32 lanes together.
struct CudaLane {
  __device__ std::uint32_t index() const { return threadIdx.x; }
  /// Bit i is lane i's vote.
  __device__ std::uint32_t ballot(bool vote) const { return __ballot_sync(0xFFFFFFFFU, vote); }
  /// What the lanes wrote before is seen by all after.
  __device__ void sync() const { __syncwarp(0xFFFFFFFFU); }
  __device__ static std::uint32_t ones(std::uint32_t bits) { return static_cast<std::uint32_t>(__popc(bits)); }
  /// Products and sums that no compiler may contract to a fused operation: FORMAT.md section 1.
  __device__ static float product(float a, float b) { return __fmul_rn(a, b); }
  __device__ static float sum(float a, float b) { return __fadd_rn(a, b); }
};
#endif

}  // namespace sluice::kernels::cuda
