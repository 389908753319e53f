// The scalar table.
#include "kernels/table.h"

#include <bit>

#include "kernels/ref/kernels.h"

namespace sluice::kernels {

static_assert(std::endian::native == std::endian::little, "streams are little-endian and read by plain copies");

namespace {

constexpr KernelTable kRef{
    .name = "ref",
    .digest = ref::digest,
    .copy_rows = ref::copy_rows,
    .place_rows = ref::place_rows,
    .gather = ref::gather,
    .scatter = ref::scatter,
    .to_columns = ref::to_columns,
    .to_rows = ref::to_rows,
    .reorder = ref::reorder,
    .rotate = ref::rotate,
    .transform = ref::transform,
    .reconstruct = ref::reconstruct,
    .synthesize = ref::synthesize,
    .moments = ref::moments,
    .quantize = ref::quantize,
    .quantize_priced = ref::quantize_priced,
    .add_feature = ref::add_feature,
    .dequantize = ref::dequantize,
    .fold = ref::fold,
    .unfold = ref::unfold,
    .fold_refinement = ref::fold_refinement,
    .context = ref::context,
    .refine = ref::refine,
    .load = ref::load,
    .restore = ref::restore,
    .rans_encode = ref::rans_encode,
    .rans_decode = ref::rans_decode,
    .rans_encode_streams = ref::rans_encode_streams,
    .rans_decode_streams = ref::rans_decode_streams,
};

}  // namespace

const KernelTable& ref_kernels() { return kRef; }

}  // namespace sluice::kernels
