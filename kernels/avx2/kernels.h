// Declarations of the AVX2 kernels. Built on their own with AVX2, FMA, BMI2 and F16C; nothing else may be, and no code
// here runs before kernels/table.cc has asked the CPU. What is not listed is ref's: digests and plain copies.
#pragma once

#include "kernels/table.h"

namespace sluice::kernels::avx2 {

RansDecodeFn rans_decode;
RansEncodeFn rans_encode;
RansDecodeStreamsFn rans_decode_streams;
RansEncodeStreamsFn rans_encode_streams;
GatherFn gather;
ScatterFn scatter;
RotateFn rotate;
LoadFn load;
RestoreFn restore;
TransformFn transform;
ReconstructFn reconstruct;
SynthesizeFn synthesize;
ToRowsFn to_rows;
ToColumnsFn to_columns;
MomentsFn moments;
QuantizeFn quantize;
QuantizePricedFn quantize_priced;
AddFeatureFn add_feature;
FoldFn fold;
FoldRefinementFn fold_refinement;
DequantizeFn dequantize;
UnfoldFn unfold;
RefineFn refine;
ContextFn context;

}  // namespace sluice::kernels::avx2
