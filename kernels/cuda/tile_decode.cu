// The kernels that a card runs: one block of one warp per stream.
#include "kernels/cuda/tile_decode.cuh"

#include "kernels/float_formats.h"

namespace sluice::kernels::cuda {

template <typename Format>
__device__ void decode_block(const TileJob* jobs) {
  extern __shared__ std::int16_t shared[];
  CudaLane lane;
  decode_tile<Format>(lane, jobs[blockIdx.x], shared);
}

extern "C" __global__ void __launch_bounds__(kWarpLanes) sluice_decode_tile_f16(const TileJob* jobs) {
  decode_block<Float16>(jobs);
}

extern "C" __global__ void __launch_bounds__(kWarpLanes) sluice_decode_tile_bf16(const TileJob* jobs) {
  decode_block<BFloat16>(jobs);
}

}  // namespace sluice::kernels::cuda
