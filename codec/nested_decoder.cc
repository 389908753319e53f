#include "codec/nested_decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "codec/byte_order.h"
#include "codec/plane_symbols.h"

namespace sluice::codec {
namespace {

constexpr std::array<Part, kNestedStages> kParts{Part::kBase, Part::kRefinement1, Part::kRefinement2};

// Frames of one unit: parts in order, each naming the one before, with the same split of tokens.
Result<void> check_chain(std::span<const FrameView> stages) {
  if (stages.empty() || stages.size() > kNestedStages) return Error{ErrorCode::kBadField, 0, "number of stages"};
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const FrameHeader& header = stages[i].header;
    if (header.part != kParts[i]) return Error{ErrorCode::kBadField, 0, "order of stages"};
    if (i == 0) continue;
    const FrameHeader& coarser = stages[i - 1].header;
    const bool same_split = header.raw_tokens == coarser.raw_tokens && header.fine_tokens == coarser.fine_tokens;
    if (header.parent != coarser.digest || !same_split) return Error{ErrorCode::kBadField, 0, "parent of a refinement"};
  }
  return {};
}

// Steps must be positive and finite and classes known, else decoded values would be rubbish with a valid digest.
Result<void> check_side_information(const NestedLayout& layout, std::span<const std::byte> payload) {
  if (layout.runs.coded() == 0) return {};
  for (std::size_t i = 0; i < layout.streams * layout.heads; ++i) {
    const float step = from_bf16(load<std::uint16_t>(payload, layout.steps_at + 2 * i));
    if (!std::isfinite(step) || step <= 0) return Error{ErrorCode::kCorruptStream, 0, "step"};
  }
  for (std::size_t i = 0; i < layout.streams * layout.width; ++i) {
    const float mean = from_bf16(load<std::uint16_t>(payload, layout.means_at + 2 * i));
    if (!std::isfinite(mean)) return Error{ErrorCode::kCorruptStream, 0, "mean"};
    if (load<std::uint8_t>(payload, layout.classes_at + i) >= kClasses) {
      return Error{ErrorCode::kCorruptStream, 0, "class"};
    }
  }
  return {};
}

}  // namespace

NestedDecoder::NestedDecoder(const kernels::KernelTable& kernels) : kernels_(&kernels), tables_(make_static_tables()) {}

Result<void> NestedDecoder::decode(std::span<const FrameView> stages, const kernels::MutableUnitView& out) {
  SLUICE_TRY(check_chain(stages));
  std::array<Cursor, kNestedStages> cursors;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    Cursor& cursor = cursors[i];
    cursor.layout = nested_layout(stages[i].header);
    cursor.payload = stages[i].payload;
    SLUICE_ASSIGN(const DirectoryTotals totals, check_directory(cursor.layout, cursor.payload));
    cursor.words_at = cursor.layout.words_at;
    cursor.escapes_at = cursor.words_at + 2 * totals.words;
  }
  const FrameView& base = stages[0];
  const NestedLayout& layout = cursors[0].layout;
  SLUICE_TRY(check_side_information(layout, base.payload));
  const std::size_t coded = layout.runs.coded();
  indices_.resize(layout.streams * layout.symbols());
  symbols_.resize(coded);
  contexts_.resize(coded);
  columns_.resize(layout.symbols());
  if (coded != 0) {
    const std::byte* const classes = base.payload.data() + layout.classes_at;
    classes_ = {reinterpret_cast<const std::uint8_t*>(classes), layout.streams * layout.width};
    for (std::size_t i = 0; i < stages.size(); ++i) SLUICE_TRY(read_stage(i, cursors[i]));
  }
  kernels::fill_rope_angles(base.header.rope, base.header.first_position.value() + base.header.raw_tokens.count(),
                            coded, angles_);
  for (std::size_t stream = 0; stream < layout.streams; ++stream) write_plane(base, stages.size(), stream, out);
  return {};
}

Result<void> NestedDecoder::read_stage(std::size_t stage, Cursor& cursor) {
  for (std::size_t stream = 0; stream < cursor.layout.streams; ++stream) {
    SLUICE_TRY(read_stream(stage, stream, cursor));
  }
  return {};
}

Result<void> NestedDecoder::read_stream(std::size_t stage, std::size_t stream, Cursor& cursor) {
  const NestedLayout& layout = cursor.layout;
  const std::size_t coded = layout.runs.coded();
  const std::size_t lanes = layout.runs.lanes();
  const std::size_t entry = layout.directory_at + stream * layout.entry_size;
  const std::size_t words_size = 2 * std::size_t{load<std::uint32_t>(cursor.payload, entry)};
  kernels::RansReader reader;
  reader.states.fill(kernels::kRansStart);
  std::memcpy(reader.states.data(), cursor.payload.data() + layout.states_at + 4 * stream * lanes, 4 * lanes);
  const bool in_range = std::all_of(reader.states.begin(), reader.states.end(),
                                    [](std::uint32_t state) { return state >= kernels::kRansStart; });
  if (!in_range) return Error{ErrorCode::kCorruptStream, 0, "lane state"};
  reader.cursor = cursor.payload.data() + cursor.words_at;
  reader.end = reader.cursor + words_size;
  cursor.words_at += words_size;
  if (stage == 0) {
    const std::size_t escapes_size = 2 * std::size_t{load<std::uint32_t>(cursor.payload, entry + 4)};
    escapes_ = cursor.payload.subspan(cursor.escapes_at, escapes_size);
    cursor.escapes_at += escapes_size;
  }
  for (std::size_t channel = 0; channel < layout.width; ++channel) {
    const std::size_t ordinary = classes_[stream * layout.width + channel];
    const auto column = std::span<std::int16_t>(indices_).subspan((stream * layout.width + channel) * coded, coded);
    const bool complete = read_run(stage, ordinary, column.first(layout.runs.ordinary), reader) &&
                          read_run(stage, fine_class(ordinary), column.subspan(layout.runs.ordinary), reader);
    if (!complete) return Error{ErrorCode::kCorruptStream, 0, "escapes"};
  }
  if (!kernels::is_finished(reader) || !escapes_.empty()) return Error{ErrorCode::kCorruptStream, 0, "stream end"};
  return {};
}

bool NestedDecoder::read_run(std::size_t stage, std::size_t class_index, std::span<std::int16_t> indices,
                             kernels::RansReader& reader) {
  const std::span<std::uint8_t> symbols = std::span(symbols_).first(indices.size());
  if (stage == 0) {
    const std::uint32_t largest = tables_->largest[class_index];
    kernels_->rans_decode(reader, tables_->base[class_index], symbols);
    if (kernels_->unfold(symbols, largest, indices) == 0) return true;
    return fill_escapes(largest, indices);
  }
  const std::span<std::uint8_t> contexts = std::span(contexts_).first(indices.size());
  kernels_->context(indices, contexts);
  kernels_->rans_decode_context(reader, tables_->refinement[stage - 1][class_index], contexts, symbols);
  kernels_->refine(symbols, indices);
  return true;
}

bool NestedDecoder::fill_escapes(std::uint32_t largest, std::span<std::int16_t> indices) {
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (symbols_[i] != 2 * largest + 1) continue;
    if (escapes_.empty()) return false;
    indices[i] = load<std::int16_t>(escapes_, 0);
    escapes_ = escapes_.subspan(2);
  }
  return true;
}

void NestedDecoder::write_plane(const FrameView& base, std::size_t stages, std::size_t stream,
                                const kernels::MutableUnitView& out) {
  const NestedLayout layout = nested_layout(base.header);
  const bool is_key = stream % 2 == 0;
  const kernels::MutablePlaneView& plane = (is_key ? out.k : out.v)[stream / 2];
  const std::uint64_t raw = base.header.raw_tokens.count();
  kernels_->place_rows(base.payload.subspan(stream * layout.raw_row_size, layout.raw_row_size), base.header.shape,
                       {0, raw}, plane);
  const std::size_t coded = layout.runs.coded();
  if (coded == 0) return;
  const std::size_t dim = layout.width / layout.heads;
  for (std::size_t channel = 0; channel < layout.width; ++channel) {
    const std::size_t step_at = layout.steps_at + 2 * (stream * layout.heads + channel / dim);
    const float step = from_bf16(load<std::uint16_t>(base.payload, step_at)) * kStageStep[stages - 1];
    const float mean =
        from_bf16(load<std::uint16_t>(base.payload, layout.means_at + 2 * (stream * layout.width + channel)));
    const auto column =
        std::span<const std::int16_t>(indices_).subspan((stream * layout.width + channel) * coded, coded);
    const std::span<float> values = std::span(columns_).subspan(channel * coded, coded);
    kernels_->dequantize(column.first(layout.runs.ordinary), {.mean = mean, .step = step},
                         values.first(layout.runs.ordinary));
    kernels_->dequantize(column.subspan(layout.runs.ordinary), {.mean = mean, .step = step / 2},
                         values.subspan(layout.runs.ordinary));
  }
  const PlaneExtent extent{.shape = &base.header.shape, .range = {raw, coded}};
  if (is_key) {
    rotate_columns(*kernels_, extent, {.rope = &base.header.rope, .angles = &angles_, .sine_sign = 1.0F}, columns_);
  }
  store_columns(*kernels_, extent, columns_, plane, strip_);
}

}  // namespace sluice::codec
