// The AVX-512 table: what avx2 has, with everything that is worth it replaced. __builtin_cpu_supports also asks whether
// the operating system saves the wide registers.
#include "kernels/table.h"

#include "kernels/avx512/kernels.h"

namespace sluice::kernels {
namespace {

bool has_foundation() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool has_byte_permutations() { return __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2"); }

}  // namespace

std::optional<KernelTable> avx512_kernels() {
  std::optional<KernelTable> table = avx2_kernels();
  if (!table || !has_foundation()) return std::nullopt;
  table->name = "avx512";
  table->moments = avx512::moments;
  table->quantize = avx512::quantize;
  table->quantize_priced = avx512::quantize_priced;
  table->add_feature = avx512::add_feature;
  table->fold = avx512::fold;
  table->unfold = avx512::unfold;
  table->fold_refinement = avx512::fold_refinement;
  table->context = avx512::context;
  table->refine = avx512::refine;
  table->load = avx512::load;
  table->restore = avx512::restore;
  table->reorder = avx512::reorder;
  table->transform = avx512::transform;
  table->reconstruct = avx512::reconstruct;
  table->synthesize = avx512::synthesize;
  if (!has_byte_permutations()) return table;
  table->rans_encode = avx512::rans_encode;
  table->rans_decode = avx512::rans_decode;
  table->rans_encode_streams = avx512::rans_encode_streams;
  table->rans_decode_streams = avx512::rans_decode_streams;
  return table;
}

}  // namespace sluice::kernels
