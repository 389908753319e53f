#include "codec/nested_encoder.h"

#include <algorithm>
#include <cstring>

#include "codec/byte_order.h"

namespace sluice::codec {
namespace {

constexpr std::array<Part, kNestedStages> kParts{Part::kBase, Part::kRefinement1, Part::kRefinement2};
// Below this many tokens a mean and a class per channel cost more than they save: such a unit is all raw rows.
constexpr std::uint64_t kFewestCodedTokens = 2;

// Which tokens of the unit are raw (the request's first) and which are fine (its newest).
FrameHeader header_of(const kernels::UnitView& unit, const UnitContext& context, const EncoderOptions& options) {
  FrameHeader header;
  header.shape = unit.shape;
  header.rope = canonical(context.rope);
  header.first_position = context.first_position;
  const std::uint64_t tokens = unit.shape.tokens.count();
  const std::uint64_t first = context.first_position.value();
  const std::uint64_t raw_end = options.raw_first.count();
  std::uint64_t raw = first < raw_end ? std::min(tokens, raw_end - first) : 0;
  if (tokens - raw < kFewestCodedTokens) raw = tokens;
  const std::uint64_t request = context.request_tokens.count();
  const std::uint64_t newest = request - std::min(request, options.fine_newest.count());
  const std::uint64_t fine_first = std::max(newest, first + raw);
  const std::uint64_t end = first + tokens;
  header.raw_tokens = Tokens(raw);
  header.fine_tokens = Tokens(fine_first < end ? end - fine_first : 0);
  return header;
}

}  // namespace

NestedEncoder::NestedEncoder(const kernels::KernelTable& kernels, const EncoderOptions& options)
    : kernels_(&kernels), options_(options), tables_(make_static_tables()) {}

Bytes NestedEncoder::max_size(const kernels::KvShape& shape, Part part) {
  FrameHeader coded;
  coded.part = part;
  coded.shape = shape;
  FrameHeader raw = coded;
  raw.raw_tokens = shape.tokens;
  const NestedLayout all_coded = nested_layout(coded);
  const NestedLayout all_raw = nested_layout(raw);
  return Bytes(kFrameHeaderSize + max_payload(all_coded) + max_payload(all_raw));
}

NestedEncoder::Stages NestedEncoder::plan(const kernels::UnitView& unit, const UnitContext& context,
                                          std::span<std::byte> out) const {
  Stages stages;
  const FrameHeader header = header_of(unit, context, options_);
  std::size_t at = 0;
  for (std::size_t i = 0; i < kNestedStages; ++i) {
    stages[i].header = header;
    stages[i].header.part = kParts[i];
    stages[i].layout = nested_layout(stages[i].header);
    const std::size_t room = max_size(unit.shape, kParts[i]).count();
    stages[i].frame = out.subspan(at, room);
    stages[i].end = stages[i].layout.words_at;
    // Padding is part of the digest: it must be zero.
    std::memset(stages[i].frame.data(), 0, kFrameHeaderSize + stages[i].layout.words_at);
    at += room;
  }
  return stages;
}

Result<EncodedUnit> NestedEncoder::encode(const kernels::UnitView& unit, const UnitContext& context,
                                          std::span<std::byte> out) {
  Stages stages = plan(unit, context, out);
  const Stage& base = stages[0];
  const TokenRuns& runs = base.layout.runs;
  rope_ = base.header.rope;
  kernels::fill_rope_angles(rope_, context.first_position.value() + base.header.raw_tokens.count(), runs.coded(),
                            angles_);
  columns_.resize(base.layout.symbols());
  words_.resize(2 * base.layout.symbols());
  escapes_.clear();
  for (std::size_t stream = 0; stream < base.layout.streams; ++stream) {
    SLUICE_TRY(encode_plane(unit, stream, stages));
  }
  const std::size_t escapes_size = 2 * escapes_.size();
  if (escapes_size != 0) {
    std::memcpy(stages[0].frame.data() + kFrameHeaderSize + stages[0].end, escapes_.data(), escapes_size);
  }
  stages[0].end += escapes_size;
  return seal(stages, out);
}

Result<void> NestedEncoder::encode_plane(const kernels::UnitView& unit, std::size_t stream, Stages& stages) {
  const Stage& base = stages[0];
  const NestedLayout& layout = base.layout;
  const bool is_key = stream % 2 == 0;
  const kernels::PlaneView& plane = (is_key ? unit.k : unit.v)[stream / 2];
  const std::uint64_t raw = base.header.raw_tokens.count();
  kernels_->copy_rows(plane, unit.shape, {0, raw},
                      base.frame.subspan(kFrameHeaderSize + stream * layout.raw_row_size, layout.raw_row_size));
  if (layout.runs.coded() == 0) return {};
  const PlaneExtent extent{.shape = &unit.shape, .range = {raw, layout.runs.coded()}};
  load_columns(*kernels_, extent, plane, columns_, strip_);
  if (is_key) rotate_columns(*kernels_, extent, {.rope = &rope_, .angles = &angles_, .sine_sign = -1.0F}, columns_);
  const float relative_step = is_key ? options_.key_step : options_.value_step;
  SLUICE_TRY(analyse_plane(*kernels_, *tables_, {.columns = columns_, .layout = layout, .relative_step = relative_step},
                           plane_));
  write_side_information(stream, base);
  for (std::size_t stage = 0; stage < kNestedStages; ++stage) write_stream(stage, stream, stages[stage]);
  store(base.frame, kFrameHeaderSize + layout.directory_at + stream * layout.entry_size + 4,
        static_cast<std::uint32_t>(plane_.escapes.size()));
  escapes_.insert(escapes_.end(), plane_.escapes.begin(), plane_.escapes.end());
  return {};
}

void NestedEncoder::write_side_information(std::size_t stream, const Stage& base) const {
  const NestedLayout& layout = base.layout;
  std::byte* const payload = base.frame.data() + kFrameHeaderSize;
  std::memcpy(payload + layout.steps_at + 2 * stream * layout.heads, plane_.steps.data(), 2 * layout.heads);
  std::memcpy(payload + layout.means_at + 2 * stream * layout.width, plane_.means.data(), 2 * layout.width);
  std::memcpy(payload + layout.classes_at + stream * layout.width, plane_.classes.data(), layout.width);
}

void NestedEncoder::write_stream(std::size_t stage_index, std::size_t stream, Stage& stage) {
  const NestedLayout& layout = stage.layout;
  const std::size_t coded = layout.runs.coded();
  kernels::RansWriter writer = kernels::open_rans_writer(words_);
  const auto encode_run = [&](std::size_t class_index, std::size_t offset, std::size_t count) {
    const auto symbols = std::span<const std::uint8_t>(plane_.symbols[stage_index]).subspan(offset, count);
    if (stage_index == 0) return kernels_->rans_encode(writer, tables_->base[class_index], symbols);
    const auto contexts = std::span<const std::uint8_t>(plane_.contexts[stage_index - 1]).subspan(offset, count);
    kernels_->rans_encode_context(writer, tables_->refinement[stage_index - 1][class_index], contexts, symbols);
  };
  for (std::size_t channel = layout.width; channel-- > 0;) {
    const std::size_t ordinary = plane_.classes[channel];
    encode_run(fine_class(ordinary), channel * coded + layout.runs.ordinary, layout.runs.fine);
    encode_run(ordinary, channel * coded, layout.runs.ordinary);
  }
  const std::size_t size = static_cast<std::size_t>(words_.data() + words_.size() - writer.cursor);
  std::byte* const payload = stage.frame.data() + kFrameHeaderSize;
  SLUICE_ASSERT(size <= 2 * max_words(layout.symbols()));
  std::memcpy(payload + stage.end, writer.cursor, size);
  stage.end += size;
  const std::size_t lanes = layout.runs.lanes();
  std::memcpy(payload + layout.states_at + 4 * stream * lanes, writer.states.data(), 4 * lanes);
  store(stage.frame, kFrameHeaderSize + layout.directory_at + stream * layout.entry_size,
        static_cast<std::uint32_t>(size / 2));
}

EncodedUnit NestedEncoder::seal(Stages& stages, std::span<std::byte> out) const {
  EncodedUnit result;
  std::size_t at = 0;
  ContentHash parent;
  for (std::size_t i = 0; i < kNestedStages; ++i) {
    const std::size_t size = kFrameHeaderSize + stages[i].end;
    std::memmove(out.data() + at, stages[i].frame.data(), size);
    stages[i].header.parent = parent;
    parent = seal_frame(*kernels_, stages[i].header, out.subspan(at, size));
    result.parts[i] = {.part = kParts[i], .offset = Bytes(at), .size = Bytes(size)};
    at += size;
  }
  return result;
}

}  // namespace sluice::codec
