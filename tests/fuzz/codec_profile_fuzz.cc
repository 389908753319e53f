// Any bytes as a profile: a typed error, or contents that can be written again. The digest and the length are repaired
// first, so that mutations reach the parser behind them.
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "codec/byte_order.h"
#include "codec/inspection.h"
#include "codec/profile.h"

namespace codec = sluice::codec;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto& table = sluice::kernels::ref_kernels();
  std::vector<std::byte> file(reinterpret_cast<const std::byte*>(data),
                              reinterpret_cast<const std::byte*>(data) + size);
  if (size >= codec::kProfileHeaderSize) {
    constexpr std::size_t kFileSizeAt = 64;
    constexpr std::size_t kDigestAt = 72;
    codec::store(std::span(file), kFileSizeAt, std::uint64_t{size});
    codec::store(std::span(file), kDigestAt, std::uint64_t{0});
    const std::uint64_t seed = table.digest(std::span(file).first(codec::kProfileHeaderSize), 0);
    codec::store(std::span(file), kDigestAt, table.digest(std::span(file).subspan(codec::kProfileHeaderSize), seed));
  }
  const auto profile = codec::Profile::parse(table, file);
  if (!profile.has_value()) return 0;
  const auto again = codec::write_profile(table, profile->contents());
  SLUICE_ASSERT(again.has_value() && again->size() == file.size());
  sluice::Bytes sum;
  for (const codec::SectionSize& section : codec::profile_sections(*profile)) sum += section.size;
  SLUICE_ASSERT(sum == profile->file_size());
  return 0;
}
