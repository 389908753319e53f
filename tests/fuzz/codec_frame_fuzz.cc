// Any bytes as one frame: a typed error, or rows; never a read outside, never a page written on error. The digest is
// repaired first, so that mutations reach the parsers behind it.
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "codec/byte_order.h"
#include "codec/decoder.h"
#include "codec/frame.h"

namespace {

namespace codec = sluice::codec;
namespace kernels = sluice::kernels;

constexpr std::uint64_t kMaxRows = 1U << 16U;
constexpr std::byte kCanary{0x5A};

/// Pages for whatever shape the header claims, with all planes in one block each.
struct Pages {
  explicit Pages(const kernels::KvShape& shape) : memory(shape.raw_bytes().count(), kCanary) {
    const std::size_t planes = 2 * shape.layers.count();
    const auto token = static_cast<std::ptrdiff_t>(shape.row_bytes().count());
    const auto head = static_cast<std::ptrdiff_t>(shape.head_dim.count() * kernels::dtype_size(shape.dtype));
    for (std::size_t plane = 0; plane < planes; ++plane)
      blocks.push_back(memory.data() + plane * memory.size() / planes);
    for (std::size_t plane = 0; plane < planes; ++plane) {
      (plane % 2 == 0 ? k : v).push_back({{blocks.data() + plane, 1}, shape.tokens.count(), token, head});
    }
  }
  std::vector<std::byte> memory;
  std::vector<std::byte*> blocks;
  std::vector<kernels::MutablePlaneView> k, v;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const kernels::KernelTable& table = kernels::ref_kernels();
  std::vector<std::byte> frame(reinterpret_cast<const std::byte*>(data),
                               reinterpret_cast<const std::byte*>(data) + size);
  if (size >= codec::kFrameHeaderSize) {
    constexpr std::size_t kDigestAt = 80;
    constexpr std::size_t kPayloadAt = 72;
    codec::store(std::span(frame), kPayloadAt, std::uint64_t{size - codec::kFrameHeaderSize});
    codec::store(std::span(frame), kDigestAt, std::uint64_t{0});
    const std::uint64_t seed = table.digest(std::span(frame).first(codec::kFrameHeaderSize), 0);
    codec::store(std::span(frame), kDigestAt, table.digest(std::span(frame).subspan(codec::kFrameHeaderSize), seed));
  }
  const auto parsed = codec::parse_frame(table, frame);
  if (!parsed.has_value()) return 0;
  const codec::FrameHeader& header = parsed->header;
  const std::uint64_t rows = header.shape.layers.count() * header.shape.tokens.count() * header.shape.row_values();
  if (rows > kMaxRows) return 0;
  Pages pages(header.shape);
  const std::vector<std::byte> before = pages.memory;
  static auto* const decoder = new codec::Decoder(*codec::Decoder::open(table));  // tables are costly to build
  const std::span<const std::byte> frames[] = {frame};
  const codec::UnitContext context{.rope = header.rope, .first_position = header.first_position};
  const auto decoded = decoder->decode(frames, header.shape, context, {header.shape, pages.k, pages.v});
  SLUICE_ASSERT(decoded.has_value() || pages.memory == before);
  return 0;
}
