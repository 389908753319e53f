// Any bytes given to the parser of llama.cpp's sequence state give a typed error or a view whose rows, written again,
// are the same blob but for the source sequence, which every cell repeats and ours is 0. Every layer of an accepted
// view is read, so that a range outside of the blob shows. corpus/state_blob/seed.bin: 2 layers, 3 cells, 1 head of 4
// F16 values, written by hand from the format's description.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "integration/engines/llama_cpp/state_blob.h"

namespace {

using sluice::integration::KvPlanes;
using sluice::integration::llama_cpp::StateBlobView;
using sluice::integration::llama_cpp::write_state_blob;

constexpr sluice::kernels::KvShape kShape{.layers = sluice::Layers(2),
                                          .tokens = sluice::Tokens(3),
                                          .kv_heads = sluice::Heads(1),
                                          .head_dim = sluice::HeadDim(4),
                                          .dtype = sluice::kernels::DType::kF16};
/// The blob as if its source sequence had been 0: in the header and in each cell.
std::vector<std::byte> without_sequence(std::span<const std::byte> blob) {
  constexpr std::size_t kHeaderSequence = 4;
  constexpr std::size_t kCellSequence = 16 + 8;
  std::vector<std::byte> changed(blob.begin(), blob.end());
  for (std::size_t i = 0; i < sizeof(std::int32_t); ++i) {
    changed[kHeaderSequence + i] = std::byte{0};
    for (std::size_t cell = 0; cell < kShape.tokens.count(); ++cell) {
      changed[kCellSequence + 12 * cell + i] = std::byte{0};
    }
  }
  return changed;
}

std::vector<std::byte> write_again(const StateBlobView& view, std::size_t size) {
  auto planes = KvPlanes::allocate(kShape);
  SLUICE_ASSERT(planes.has_value());
  for (std::uint32_t layer = 0; layer < kShape.layers.count(); ++layer) {
    const sluice::LayerIndex index(layer);
    std::ranges::copy(view.k_layer(index), planes.value().mutable_k_layer(index).begin());
    std::ranges::copy(view.v_layer(index), planes.value().mutable_v_layer(index).begin());
  }
  std::vector<std::byte> blob(size);
  SLUICE_ASSERT(write_state_blob(planes.value(), kShape.tokens, blob).has_value());
  return blob;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  const auto view = StateBlobView::parse(input, kShape);
  if (!view.has_value()) return 0;
  const std::vector<std::byte> again = write_again(view.value(), size);
  SLUICE_ASSERT(std::ranges::equal(without_sequence(input), again));
  return 0;
}
