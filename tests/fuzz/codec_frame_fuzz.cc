// Any bytes as one frame: a typed error, or rows, and the same with every kernel table; never a read outside, never a
// page written on error. The digest is repaired first, so that mutations reach the parsers behind it.
#include <cstdint>
#include <span>
#include <vector>

#include "codec/byte_order.h"
#include "codec/frame.h"
#include "tests/fuzz/every_decoder.h"

namespace {

namespace codec = sluice::codec;
namespace kernels = sluice::kernels;

constexpr std::uint64_t kMaxRows = 1U << 16U;
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const kernels::KernelTable& table = kernels::ref_kernels();
  std::vector<std::byte> frame(reinterpret_cast<const std::byte*>(data),
                               reinterpret_cast<const std::byte*>(data) + size);
  if (size >= codec::kFrameHeaderSize) repair_frame(frame, std::nullopt, std::nullopt);
  const auto parsed = codec::parse_frame(table, frame);
  if (!parsed.has_value()) return 0;
  const codec::FrameHeader& header = parsed->header;
  const std::uint64_t rows = header.shape.layers.count() * header.shape.tokens.count() * header.shape.row_values();
  if (rows > kMaxRows) return 0;
  static auto* const decoders = new EveryDecoder(nullptr);
  const std::span<const std::byte> frames[] = {frame};
  decoders->decode(frames, header);
  return 0;
}
