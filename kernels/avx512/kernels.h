// Declarations of the AVX-512 kernels. The rANS coders need VBMI and VBMI2, the others F, BW, DQ and VL; nothing here
// runs before kernels/avx512/table.cc has asked the CPU. What is not listed is avx2's or ref's.
#pragma once

#include "kernels/table.h"

namespace sluice::kernels::avx512 {

MomentsFn moments;
QuantizeFn quantize;
QuantizePricedFn quantize_priced;
AddFeatureFn add_feature;
FoldFn fold;
UnfoldFn unfold;
FoldRefinementFn fold_refinement;
ContextFn context;
RefineFn refine;
LoadFn load;
RestoreFn restore;
ReorderFn reorder;
TransformFn transform;
ReconstructFn reconstruct;
SynthesizeFn synthesize;
RansDecodeFn rans_decode;
RansEncodeFn rans_encode;
RansDecodeStreamsFn rans_decode_streams;
RansEncodeStreamsFn rans_encode_streams;

}  // namespace sluice::kernels::avx512
