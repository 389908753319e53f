// Declarations of the scalar kernels, each in the .cc of its stem. Only table.cc and tests include this.
#pragma once

#include "kernels/table.h"

namespace sluice::kernels::ref {

DigestFn digest;
CopyRowsFn copy_rows;
GatherFn gather;
PlaceRowsFn place_rows;
ScatterFn scatter;
ToColumnsFn to_columns;
ToRowsFn to_rows;
RotateFn rotate;
LoadFn load;
RestoreFn restore;
ReorderFn reorder;
TransformFn transform;
ReconstructFn reconstruct;
SynthesizeFn synthesize;
MomentsFn moments;
QuantizeFn quantize;
QuantizePricedFn quantize_priced;
AddFeatureFn add_feature;
DequantizeFn dequantize;
FoldFn fold;
UnfoldFn unfold;
FoldRefinementFn fold_refinement;
ContextFn context;
RefineFn refine;
RansEncodeFn rans_encode;
RansDecodeFn rans_decode;
RansEncodeStreamsFn rans_encode_streams;
RansDecodeStreamsFn rans_decode_streams;

}  // namespace sluice::kernels::ref
