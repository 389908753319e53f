// Any bytes given to the safetensors reader give a typed error or tensors that lie inside the file; what is accepted
// and written again is accepted again and says the same. corpus/safetensors: k and v of one layer, two tokens, one head
// of two F16 values, and a file with other names.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "integration/safetensors.h"

namespace {

using sluice::integration::SafetensorsView;

void check_again(const SafetensorsView& view) {
  const std::vector<std::byte> file = write_safetensors(view);
  const auto again = sluice::integration::parse_safetensors(file);
  SLUICE_ASSERT(again.has_value());
  SLUICE_ASSERT(again.value().metadata == view.metadata);
  SLUICE_ASSERT(again.value().tensors.size() == view.tensors.size());
  for (const auto& tensor : view.tensors) {
    const auto* same = again.value().find(tensor.name);
    SLUICE_ASSERT(same != nullptr && same->extents == tensor.extents && same->dtype == tensor.dtype);
    SLUICE_ASSERT(std::ranges::equal(same->data, tensor.data));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  if (const auto view = sluice::integration::parse_safetensors(input); view.has_value()) check_again(view.value());
  const auto tensors = sluice::integration::read_kv_tensors(input);
  if (!tensors.has_value()) return 0;
  const std::vector<std::byte> file = write_kv_tensors(tensors.value());
  const auto again = sluice::integration::read_kv_tensors(file);
  SLUICE_ASSERT(again.has_value() && again.value().shape == tensors.value().shape);
  SLUICE_ASSERT(again.value().rope == tensors.value().rope);
  SLUICE_ASSERT(std::ranges::equal(again.value().k, tensors.value().k));
  return 0;
}
