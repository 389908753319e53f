// Any bytes as a base and its refinements that were coded with a known profile: a typed error, or rows, and the same
// with every kernel table; never a read outside, never a page written on error. Input: sizes of the first two frames
// (u16 each), then three frames. Profile, parents, lengths and digests are repaired first, so that mutations reach the
// decoder behind them.
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "codec/byte_order.h"
#include "codec/frame.h"
#include "tests/fuzz/every_decoder.h"
#include "tests/unit/codec/tiny_profile.h"

namespace {

namespace codec = sluice::codec;
namespace kernels = sluice::kernels;

constexpr std::uint64_t kMaxRows = 1U << 14U;

/// The profile of the seeds, which are golden frames of tests/golden/predicted.
const codec::Profile& known_profile() {
  static const auto* const profile = new codec::Profile(*codec::Profile::parse(
      kernels::ref_kernels(),
      *codec::write_profile(kernels::ref_kernels(), codec::tiny_contents(codec::kGoldenPrediction))));
  return *profile;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const kernels::KernelTable& table = kernels::ref_kernels();
  if (size < 4) return 0;
  const auto* const bytes = reinterpret_cast<const std::byte*>(data);
  std::array<std::size_t, 3> sizes{data[0] + std::size_t{256} * data[1], data[2] + std::size_t{256} * data[3], 0};
  std::size_t at = 4;
  sizes[2] = size;
  std::array<std::vector<std::byte>, 3> frames;
  std::uint64_t parent = 0;
  std::size_t count = 0;
  for (; count < 3 && size - at >= codec::kFrameHeaderSize; ++count) {
    const std::size_t length = std::min(std::max(sizes[count], codec::kFrameHeaderSize), size - at);
    frames[count].assign(bytes + at, bytes + at + length);
    at += length;
    parent = repair_frame(frames[count], known_profile().id().value(), parent);
  }
  if (count == 0) return 0;
  const auto parsed = codec::parse_frame(table, frames[0]);
  if (!parsed.has_value()) return 0;
  const codec::FrameHeader& header = parsed->header;
  const std::uint64_t rows = header.shape.layers.count() * header.shape.tokens.count() * header.shape.row_values();
  if (rows > kMaxRows) return 0;
  static auto* const decoders = new EveryDecoder(&known_profile());
  const std::vector<std::span<const std::byte>> views(frames.begin(),
                                                      frames.begin() + static_cast<std::ptrdiff_t>(count));
  decoders->decode(views, header);
  return 0;
}
