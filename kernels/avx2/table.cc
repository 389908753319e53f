// The AVX2 table: what ref has, with everything that is worth it replaced.
#include "kernels/table.h"

#include <cpuid.h>

#include "kernels/avx2/kernels.h"

namespace sluice::kernels {

namespace {

/// F16C, which not every compiler has a name for.
bool has_half_floats() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

}  // namespace

std::optional<KernelTable> avx2_kernels() {
  const bool can_run = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                       __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && has_half_floats();
  if (!can_run) return std::nullopt;
  KernelTable table = ref_kernels();
  table.name = "avx2";
  table.gather = avx2::gather;
  table.scatter = avx2::scatter;
  table.to_columns = avx2::to_columns;
  table.to_rows = avx2::to_rows;
  table.rotate = avx2::rotate;
  table.transform = avx2::transform;
  table.reconstruct = avx2::reconstruct;
  table.synthesize = avx2::synthesize;
  table.moments = avx2::moments;
  table.quantize = avx2::quantize;
  table.quantize_priced = avx2::quantize_priced;
  table.add_feature = avx2::add_feature;
  table.dequantize = avx2::dequantize;
  table.fold = avx2::fold;
  table.unfold = avx2::unfold;
  table.fold_refinement = avx2::fold_refinement;
  table.context = avx2::context;
  table.refine = avx2::refine;
  table.load = avx2::load;
  table.restore = avx2::restore;
  table.rans_encode = avx2::rans_encode;
  table.rans_decode = avx2::rans_decode;
  table.rans_encode_streams = avx2::rans_encode_streams;
  table.rans_decode_streams = avx2::rans_decode_streams;
  return table;
}

}  // namespace sluice::kernels
