#include "codec/nested_encoder.h"

#include <algorithm>
#include <cstring>

#include "codec/byte_order.h"
#include "codec/profile_match.h"

namespace sluice::codec {
namespace {

// Below this many tokens a mean and a class per channel cost more than they save: such a unit is all raw rows.
constexpr std::uint64_t kFewestFittedTokens = 2;
// Stands for any profile where only the layout of its frames matters.
constexpr ContentHash kAnyProfile(1);

}  // namespace

FrameHeader base_header(const EncoderOptions& options, const kernels::KvShape& shape, const UnitContext& context) {
  FrameHeader header;
  header.shape = shape;
  header.rope = canonical(context.rope);
  header.first_position = context.first_position;
  const std::uint64_t tokens = shape.tokens.count();
  const std::uint64_t first = context.first_position.value();
  const std::uint64_t raw_end = options.raw_first.count();
  std::uint64_t raw = first < raw_end ? std::min(tokens, raw_end - first) : 0;
  if (options.profile != nullptr) {
    header.raw_tokens = Tokens(raw);
    header.profile = options.profile->id();
    header.level = static_cast<std::uint8_t>(options.level);
    header.first_layer = context.first_layer;
    return header;
  }
  if (tokens - raw < kFewestFittedTokens) raw = tokens;
  const std::uint64_t request = context.request_tokens.count();
  const std::uint64_t newest = request - std::min(request, options.fine_newest.count());
  const std::uint64_t fine_first = std::max(newest, first + raw);
  const std::uint64_t end = first + tokens;
  header.raw_tokens = Tokens(raw);
  header.fine_tokens = Tokens(fine_first < end ? end - fine_first : 0);
  return header;
}

NestedEncoder::NestedEncoder(const kernels::KernelTable& kernels, const EncoderOptions& options)
    : kernels_(&kernels),
      options_(options),
      tables_(make_static_tables()),
      runs_(kStreamsAtOnce * kNestedStages, RunEncoder(kernels, *tables_)) {
  if (options.profile == nullptr) return;
  profile_planes_.emplace(kernels, *options.profile, options.level);
  stages_ = options.profile->contents().levels[options.level].stages.count();
}

Bytes NestedEncoder::max_size(const kernels::KvShape& shape, Part part) {
  FrameHeader coded;
  coded.part = part;
  coded.shape = shape;
  FrameHeader raw = coded;
  raw.raw_tokens = shape.tokens;
  FrameHeader profile = coded;
  profile.profile = kAnyProfile;
  const std::size_t most = std::max(max_payload(nested_layout(coded)), max_payload(nested_layout(profile)));
  return Bytes(kFrameHeaderSize + most + max_payload(nested_layout(raw)));
}

NestedEncoder::Stages NestedEncoder::plan(const kernels::UnitView& unit, const UnitContext& context,
                                          std::span<std::byte> out) const {
  Stages stages;
  const FrameHeader header = base_header(options_, unit.shape, context);
  std::size_t at = 0;
  for (std::size_t i = 0; i < stages_; ++i) {
    stages[i].header = header;
    stages[i].header.part = kStageParts[i];
    stages[i].layout = nested_layout(stages[i].header);
    const std::size_t room = max_size(unit.shape, kStageParts[i]).count();
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
  if (options_.profile != nullptr) SLUICE_TRY(check_unit_fits(*options_.profile, unit.shape, context));
  Stages stages = plan(unit, context, out);
  const Stage& base = stages[0];
  const NestedLayout& layout = base.layout;
  const std::uint64_t first_coded = context.first_position.value() + base.header.raw_tokens.count();
  rotation_.start(base.header.rope, context.first_layer, first_coded, layout.runs.coded());
  for (auto& columns : columns_) columns.resize(layout.indices());
  for (auto& words : words_) words.resize(2 * layout.max_symbols());
  escapes_.clear();
  if (profile_planes_) {
    profile_planes_->start({.first_layer = context.first_layer.value(),
                            .layers = unit.shape.layers.count(),
                            .tokens = layout.runs.coded(),
                            .first_position = first_coded,
                            .request_tokens = context.request_tokens.count(),
                            .fine_newest = options_.fine_newest.count()});
  } else {
    group_by_age(layout.runs.ordinary, layout.runs.fine, groups_);
  }
  collected_ = 0;
  for (std::size_t layer = 0; layer < unit.shape.layers.count(); ++layer) {
    SLUICE_TRY(collect_layer(unit, layer, stages));
    const bool is_last = layer + 1 == unit.shape.layers.count();
    if (is_last || collected_ == kStreamsAtOnce) write_collected(2 * layer + 2, stages);
  }
  if (!escapes_.empty()) {
    std::memcpy(stages[0].frame.data() + kFrameHeaderSize + stages[0].end, escapes_.data(), escapes_.size());
  }
  stages[0].end += escapes_.size();
  return seal(stages, out);
}

Result<void> NestedEncoder::collect_layer(const kernels::UnitView& unit, std::size_t layer, Stages& stages) {
  const Stage& base = stages[0];
  for (const std::size_t side : {std::size_t{0}, std::size_t{1}})
    load_plane(unit, 2 * layer + side, base, columns_[side]);
  if (base.layout.runs.coded() == 0) return {};
  if (profile_planes_) profile_planes_->load_layer(layer, columns_[0], columns_[1]);
  for (std::size_t stream = 2 * layer; stream < 2 * layer + 2; ++stream) {
    SLUICE_ASSIGN(const CodedPlane plane, code_plane(stream, base));
    const std::size_t escapes_before = escapes_.size();
    collect_stream(plane, stages);
    const std::size_t escapes = (escapes_.size() - escapes_before) / base.layout.escape_unit();
    store(base.frame, kFrameHeaderSize + base.layout.directory_at + stream * base.layout.entry_size + 4,
          static_cast<std::uint32_t>(escapes));
  }
  return {};
}

void NestedEncoder::load_plane(const kernels::UnitView& unit, std::size_t stream, const Stage& base,
                               std::span<float> columns) {
  const NestedLayout& layout = base.layout;
  const bool is_key = stream % 2 == 0;
  const kernels::PlaneView& plane = (is_key ? unit.k : unit.v)[stream / 2];
  const std::uint64_t raw = base.header.raw_tokens.count();
  kernels_->copy_rows(plane, unit.shape, {0, raw},
                      base.frame.subspan(kFrameHeaderSize + stream * layout.raw_row_size, layout.raw_row_size));
  if (layout.runs.coded() == 0) return;
  const RopeTurn turn = rotation_.turn(stream / 2, -1.0F);
  kernels::LoadColumns load{
      .range = {raw, layout.runs.coded()}, .rope = turn.rope, .angles = is_key ? turn.angles : nullptr};
  if (profile_planes_) {
    load.means = profile_planes_->means(stream);
    load.weights = profile_planes_->weights(stream);
  }
  kernels_->load(plane, unit.shape, load, columns, strip_.of(layout.width));
}

Result<CodedPlane> NestedEncoder::code_plane(std::size_t stream, const Stage& base) {
  if (profile_planes_) return profile_planes_->code(stream);
  const bool is_key = stream % 2 == 0;
  const float relative_step = is_key ? options_.key_step : options_.value_step;
  SLUICE_TRY(fit_plane(*kernels_,
                       {.columns = columns_[stream % 2], .layout = base.layout, .relative_step = relative_step}, fit_));
  write_side_information(stream, base);
  CodedPlane plane{.groups = &groups_};
  for (std::size_t stage = 0; stage < stages_; ++stage) {
    plane.classes[stage] = fit_.classes;
    plane.indices[stage] = fit_.indices[stage];
  }
  return plane;
}

void NestedEncoder::write_side_information(std::size_t stream, const Stage& base) const {
  const NestedLayout& layout = base.layout;
  std::byte* const payload = base.frame.data() + kFrameHeaderSize;
  std::memcpy(payload + layout.steps_at + 2 * stream * layout.heads, fit_.steps.data(), 2 * layout.heads);
  std::memcpy(payload + layout.means_at + 2 * stream * layout.width, fit_.means.data(), 2 * layout.width);
  std::memcpy(payload + layout.classes_at + stream * layout.width, fit_.classes.data(), layout.width);
}

void NestedEncoder::collect_stream(const CodedPlane& plane, const Stages& stages) {
  for (std::size_t stage = 0; stage < stages_; ++stage) {
    const NestedLayout& layout = stages[stage].layout;
    const PlanInput input{.classes = plane.classes[stage], .width = layout.width, .groups = plane.groups};
    layout.has_profile ? plan_by_class(input, plan_) : plan_by_channel(input, plan_);
    RunEncoder& runs = runs_[collected_ * kNestedStages + stage];
    runs.clear();
    if (stage != 0) {
      runs.add_refinement(stage, plan_, plane.indices[stage - 1], plane.indices[stage]);
      continue;
    }
    if (!plane.token_classes.empty()) runs.add(*plane.token_class_table, plane.token_classes);
    runs.add_base(plan_, plane.indices[0], layout.has_profile ? EscapeForm::kBytes : EscapeForm::kWords);
    escapes_.insert(escapes_.end(), runs.escapes().begin(), runs.escapes().end());
  }
  ++collected_;
}

// Codes the streams before number `end` that wait for it.
void NestedEncoder::write_collected(std::size_t end, Stages& stages) {
  for (std::size_t stage = 0; stage < stages_; ++stage) {
    std::array<kernels::RansWriter, kStreamsAtOnce> writers;
    std::array<kernels::RansEncodeStream, kStreamsAtOnce> streams;
    for (std::size_t i = 0; i < collected_; ++i) {
      writers[i] = kernels::open_rans_writer(words_[i]);
      streams[i] = {.writer = &writers[i], .runs = runs_[i * kNestedStages + stage].runs()};
    }
    kernels_->rans_encode_streams(std::span(streams).first(collected_));
    for (std::size_t i = 0; i < collected_; ++i) {
      const auto size = static_cast<std::size_t>(words_[i].data() + words_[i].size() - writers[i].cursor);
      SLUICE_ASSERT(size <= 2 * max_words(runs_[i * kNestedStages + stage].symbols()));
      write_stream(end - collected_ + i, writers[i], {writers[i].cursor, size}, stages[stage]);
    }
  }
  collected_ = 0;
}

void NestedEncoder::write_stream(std::size_t stream, const kernels::RansWriter& writer,
                                 std::span<const std::byte> words, Stage& stage) const {
  const NestedLayout& layout = stage.layout;
  std::byte* const payload = stage.frame.data() + kFrameHeaderSize;
  std::memcpy(payload + stage.end, words.data(), words.size());
  stage.end += words.size();
  std::memcpy(payload + layout.states_at + 4 * stream * layout.lanes, writer.states.data(), 4 * layout.lanes);
  store(stage.frame, kFrameHeaderSize + layout.directory_at + stream * layout.entry_size,
        static_cast<std::uint32_t>(words.size() / 2));
}

EncodedUnit NestedEncoder::seal(Stages& stages, std::span<std::byte> out) const {
  EncodedUnit result;
  std::size_t at = 0;
  ContentHash parent;
  for (std::size_t i = 0; i < stages_; ++i) {
    const std::size_t size = kFrameHeaderSize + stages[i].end;
    std::memmove(out.data() + at, stages[i].frame.data(), size);
    stages[i].header.parent = parent;
    parent = seal_frame(*kernels_, stages[i].header, out.subspan(at, size));
    result.all[i] = {.part = kStageParts[i], .offset = Bytes(at), .size = Bytes(size)};
    at += size;
  }
  result.stages = stages_;
  return result;
}

}  // namespace sluice::codec
