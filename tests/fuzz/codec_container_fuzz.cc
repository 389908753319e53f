// Any bytes as a .slk file: a typed error, or a view whose every frame lies inside and is found by its key.
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "codec/byte_order.h"
#include "codec/container.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace codec = sluice::codec;
  const sluice::kernels::KernelTable& table = sluice::kernels::ref_kernels();
  std::vector<std::byte> file(reinterpret_cast<const std::byte*>(data),
                              reinterpret_cast<const std::byte*>(data) + size);
  if (size >= codec::kContainerHeaderSize) {
    // Repairs size and digest, so that mutations reach the checks behind them.
    constexpr std::size_t kFramesAt = 48, kFileSizeAt = 80, kDigestAt = 88;
    codec::store(std::span(file), kFileSizeAt, std::uint64_t{size});
    codec::store(std::span(file), kDigestAt, std::uint64_t{0});
    const std::uint64_t frames = codec::load<std::uint64_t>(file, kFramesAt);
    const std::size_t room = (size - codec::kContainerHeaderSize) / codec::kContainerEntrySize;
    if (frames <= room) {
      const std::uint64_t seed = table.digest(std::span(file).first(codec::kContainerHeaderSize), 0);
      const auto directory = std::span(file).subspan(codec::kContainerHeaderSize, frames * codec::kContainerEntrySize);
      codec::store(std::span(file), kDigestAt, table.digest(directory, seed));
    }
  }
  const auto view = codec::ContainerView::open(table, file);
  if (!view.has_value()) return 0;
  for (std::uint64_t i = 0; i < view->frames(); ++i) {
    const auto found = view->find(view->key_at(i));
    SLUICE_ASSERT(found.has_value() && found->data() == view->frame_at(i).data());
    SLUICE_ASSERT(found->data() >= file.data() && found->data() + found->size() <= file.data() + file.size());
  }
  return 0;
}
