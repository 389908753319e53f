// The kernels as one table of function pointers, chosen once by CPU feature and passed down. ref/ is normative: every
// other table must give the same bits (tests/check compares them).
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "kernels/digest.h"
#include "kernels/gather.h"
#include "kernels/load.h"
#include "kernels/quantize.h"
#include "kernels/rans.h"
#include "kernels/restore.h"
#include "kernels/rope.h"
#include "kernels/scatter.h"
#include "kernels/transform.h"
#include "kernels/transpose.h"

namespace sluice::kernels {

/// All pointers are set.  Threads: immutable.
struct KernelTable {
  std::string_view name;
  DigestFn* digest = nullptr;
  CopyRowsFn* copy_rows = nullptr;
  PlaceRowsFn* place_rows = nullptr;
  GatherFn* gather = nullptr;
  ScatterFn* scatter = nullptr;
  ToColumnsFn* to_columns = nullptr;
  ToRowsFn* to_rows = nullptr;
  ReorderFn* reorder = nullptr;
  RotateFn* rotate = nullptr;
  TransformFn* transform = nullptr;
  ReconstructFn* reconstruct = nullptr;
  SynthesizeFn* synthesize = nullptr;
  MomentsFn* moments = nullptr;
  QuantizeFn* quantize = nullptr;
  QuantizePricedFn* quantize_priced = nullptr;
  AddFeatureFn* add_feature = nullptr;
  DequantizeFn* dequantize = nullptr;
  FoldFn* fold = nullptr;
  UnfoldFn* unfold = nullptr;
  FoldRefinementFn* fold_refinement = nullptr;
  ContextFn* context = nullptr;
  RefineFn* refine = nullptr;
  LoadFn* load = nullptr;
  RestoreFn* restore = nullptr;
  RansEncodeFn* rans_encode = nullptr;
  RansDecodeFn* rans_decode = nullptr;
  RansEncodeStreamsFn* rans_encode_streams = nullptr;
  RansDecodeStreamsFn* rans_decode_streams = nullptr;
};

/// The scalar truth; always there.  Threads: pure.
const KernelTable& ref_kernels();

/// None where the build or the CPU has no AVX2.  Threads: pure.
std::optional<KernelTable> avx2_kernels();

/// None where the build or the CPU has no AVX-512 (F, BW, DQ, VL). Without VBMI and VBMI2 its coders are avx2's.
/// Threads: pure.
std::optional<KernelTable> avx512_kernels();

/// Every table that this machine can run, best first, ref last.  Threads: any.
std::span<const KernelTable> available_kernels();

/// The runnable table of that name; the best one for an empty name; null when there is none.  Threads: any.
const KernelTable* find_kernels(std::string_view name);

}  // namespace sluice::kernels
