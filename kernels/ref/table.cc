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
    .rotate = ref::rotate,
    .transform = ref::transform,
    .moments = ref::moments,
    .quantize = ref::quantize,
    .dequantize = ref::dequantize,
    .fold = ref::fold,
    .unfold = ref::unfold,
    .fold_refinement = ref::fold_refinement,
    .context = ref::context,
    .refine = ref::refine,
    .rans_encode = ref::rans_encode,
    .rans_decode = ref::rans_decode,
    .rans_encode_context = ref::rans_encode_context,
    .rans_decode_context = ref::rans_decode_context,
    .rans_encode_runs = ref::rans_encode_runs,
    .rans_decode_runs = ref::rans_decode_runs,
};

}  // namespace

const KernelTable& ref_kernels() { return kRef; }

}  // namespace sluice::kernels
