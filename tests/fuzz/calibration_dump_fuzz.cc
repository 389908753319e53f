// Any bytes given to the readers of calibration's files give a typed error, or dumps whose tensors lie inside the file
// and can be searched for NaN, or a curve that rises. corpus/calibration_dump: a dump of one layer with gradients and
// attention, and a curve.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/assert.h"
#include "integration/calibration_dump.h"
#include "kernels/table.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  const auto curve = sluice::integration::read_kl_curve(input, sluice::codec::Tier::kLayer);
  if (curve.has_value()) {
    for (std::size_t i = 1; i < curve.value().size(); ++i) {
      SLUICE_ASSERT(curve.value()[i].step > curve.value()[i - 1].step);
      SLUICE_ASSERT(curve.value()[i].kl_mean > curve.value()[i - 1].kl_mean);
    }
  }
  const auto dump = sluice::integration::read_calibration_dump("input", input);
  if (!dump.has_value()) return 0;
  const auto& found = dump.value();
  SLUICE_ASSERT(found.gradient_tokens.count() <= found.shape.tokens.count());
  sluice::codec::calibration::find_shape_fault(std::span(&found, 1));
  sluice::codec::calibration::find_value_fault(sluice::kernels::ref_kernels(), found);
  return 0;
}
