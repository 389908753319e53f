#include "codec/nested_layout.h"

#include <algorithm>

#include "codec/byte_order.h"
#include "kernels/rans.h"

namespace sluice::codec {

NestedLayout nested_layout(const FrameHeader& header) {
  NestedLayout layout;
  const kernels::KvShape& shape = header.shape;
  layout.streams = 2 * shape.layers.count();
  layout.width = shape.row_values();
  layout.heads = shape.kv_heads.count();
  layout.runs.fine = header.fine_tokens.count();
  layout.runs.ordinary = shape.tokens.count() - header.raw_tokens.count() - header.fine_tokens.count();
  layout.is_base = header.part == Part::kBase;
  layout.has_profile = header.has_profile();
  // With a profile runs go over many channels: all lanes have work.
  layout.lanes = layout.has_profile ? kernels::kRansLanes
                                    : std::min(kernels::kRansLanes, std::max(layout.runs.ordinary, layout.runs.fine));
  layout.entry_size = layout.is_base ? 8 : 4;
  std::size_t at = 0;
  if (layout.is_base) {
    layout.raw_row_size = header.raw_tokens.count() * shape.row_bytes().count();
    at = padded(layout.streams * layout.raw_row_size, 16);
  }
  layout.steps_at = layout.means_at = layout.classes_at = layout.directory_at = layout.states_at = layout.words_at = at;
  if (layout.runs.coded() == 0) return layout;
  if (layout.is_base && !layout.has_profile) {
    layout.means_at = layout.steps_at + 2 * layout.streams * layout.heads;
    layout.classes_at = layout.means_at + 2 * layout.streams * layout.width;
    layout.directory_at = padded(layout.classes_at + layout.streams * layout.width, 4);
  }
  layout.states_at = padded(layout.directory_at + layout.streams * layout.entry_size, 16);
  layout.words_at = layout.states_at + 4 * layout.streams * layout.lanes;
  return layout;
}

std::size_t max_words(std::size_t symbols) { return symbols - symbols * 7 / 16 + kernels::kRansLanes; }

std::size_t max_payload(const NestedLayout& layout) {
  const std::size_t words = layout.runs.coded() == 0 ? 0 : layout.streams * max_words(layout.max_symbols());
  const std::size_t escapes = layout.is_base ? layout.streams * layout.indices() * layout.max_escape() : 0;
  return layout.words_at + 2 * words + escapes;
}

Result<DirectoryTotals> check_directory(const NestedLayout& layout, std::span<const std::byte> payload) {
  if (payload.size() < layout.words_at) return Error{ErrorCode::kBadLength, 0, "nested payload"};
  DirectoryTotals totals;
  for (std::size_t stream = 0; layout.runs.coded() != 0 && stream < layout.streams; ++stream) {
    const std::size_t at = layout.directory_at + stream * layout.entry_size;
    const std::size_t words = load<std::uint32_t>(payload, at);
    const std::size_t escapes = layout.is_base ? load<std::uint32_t>(payload, at + 4) * layout.escape_unit() : 0;
    if (words > max_words(layout.max_symbols()) || escapes > layout.indices() * layout.max_escape()) {
      return Error{ErrorCode::kBadLength, 0, "stream directory"};
    }
    totals.words += words;
    totals.escapes += escapes;
  }
  if (payload.size() != layout.words_at + 2 * totals.words + totals.escapes) {
    return Error{ErrorCode::kBadLength, 0, "stream directory"};
  }
  return totals;
}

}  // namespace sluice::codec
