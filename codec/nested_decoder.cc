#include "codec/nested_decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "codec/byte_order.h"
#include "codec/plane_fit.h"
#include "codec/profile_planes.h"

namespace sluice::codec {
namespace {

// Frames of one unit: parts in order, each naming the one before, with the same split of tokens.
Result<void> check_chain(std::span<const FrameView> stages) {
  if (stages.empty() || stages.size() > kNestedStages) return Error{ErrorCode::kBadField, 0, "number of stages"};
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const FrameHeader& header = stages[i].header;
    if (header.part != kStageParts[i]) return Error{ErrorCode::kBadField, 0, "order of stages"};
    if (i == 0) continue;
    const FrameHeader& coarser = stages[i - 1].header;
    const bool same_split = header.raw_tokens == coarser.raw_tokens && header.fine_tokens == coarser.fine_tokens;
    const bool same_signal = header.profile == coarser.profile && header.level == coarser.level;
    if (header.parent != coarser.digest || !same_split || !same_signal)
      return Error{ErrorCode::kBadField, 0, "parent of a refinement"};
  }
  return {};
}

// Steps must be positive and finite and classes known, else decoded values would be rubbish with a valid digest.
Result<void> check_side_information(const NestedLayout& layout, std::span<const std::byte> payload) {
  if (layout.runs.coded() == 0 || layout.has_profile) return {};
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

NestedDecoder::NestedDecoder(const kernels::KernelTable& kernels, const Profile* profile)
    : kernels_(&kernels), profile_(profile), tables_(make_static_tables()), runs_(kernels, *tables_) {
  if (profile == nullptr) return;
  signal_.emplace(kernels, *profile);
  token_class_tables_ = make_token_class_tables(profile->contents());
}

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
  SLUICE_TRY(check_side_information(cursors[0].layout, base.payload));
  start(base);
  for (std::size_t i = 0; layout_.runs.coded() != 0 && i < stages.size(); ++i) {
    SLUICE_TRY(read_stage(i, cursors[i]));
    if (i == 0 && layout_.has_profile && profile_->contents().tier == Tier::kPredicted) rebuild_references();
  }
  rotation_.start(base.header.rope, base.header.first_layer,
                  base.header.first_position.value() + base.header.raw_tokens.count(), layout_.runs.coded());
  for (std::size_t stream = 0; stream < layout_.streams; ++stream) write_plane(base, stages.size(), stream, out);
  return {};
}

void NestedDecoder::start(const FrameView& base) {
  layout_ = nested_layout(base.header);
  level_ = base.header.level;
  first_stream_ = 2 * base.header.first_layer.value();
  const std::size_t layers = layout_.streams / 2;
  if (groups_.size() < layers) groups_.resize(layers);
  indices_.resize(layout_.streams * layout_.indices());
  columns_.resize(layout_.indices());
  if (layout_.has_profile) {
    // Silent coefficients are not in the stream.
    std::fill(indices_.begin(), indices_.end(), std::int16_t{0});
    token_classes_.resize(layout_.runs.coded());
    coefficients_.resize(layout_.indices());
    return;
  }
  group_by_age(layout_.runs.ordinary, layout_.runs.fine, groups_[0]);
  const std::size_t size = layout_.runs.coded() == 0 ? 0 : layout_.streams * layout_.width;
  sent_classes_ = {reinterpret_cast<const std::uint8_t*>(base.payload.data() + layout_.classes_at), size};
}

Result<void> NestedDecoder::read_stage(std::size_t stage, Cursor& cursor) {
  const std::size_t streams = cursor.layout.streams;
  for (std::size_t first = 0; first < streams; first += kStreamsAtOnce) {
    SLUICE_TRY(read_streams(stage, first, std::min(kStreamsAtOnce, streams - first), cursor));
  }
  return {};
}

Result<StreamReader> NestedDecoder::open_stream(std::size_t stage, std::size_t stream, Cursor& cursor) const {
  const NestedLayout& layout = cursor.layout;
  const std::size_t entry = layout.directory_at + stream * layout.entry_size;
  const std::size_t words_size = 2 * std::size_t{load<std::uint32_t>(cursor.payload, entry)};
  StreamReader reader;
  reader.form = layout.has_profile ? EscapeForm::kBytes : EscapeForm::kWords;
  auto& states = reader.words.states;
  states.fill(kernels::kRansStart);
  std::memcpy(states.data(), cursor.payload.data() + layout.states_at + 4 * stream * layout.lanes, 4 * layout.lanes);
  const bool in_range =
      std::all_of(states.begin(), states.end(), [](std::uint32_t state) { return state >= kernels::kRansStart; });
  if (!in_range) return Error{ErrorCode::kCorruptStream, 0, "lane state"};
  reader.words.cursor = cursor.payload.data() + cursor.words_at;
  reader.words.end = reader.words.cursor + words_size;
  cursor.words_at += words_size;
  if (stage == 0) {
    const std::size_t escapes_size = layout.escape_unit() * load<std::uint32_t>(cursor.payload, entry + 4);
    reader.escapes = cursor.payload.subspan(cursor.escapes_at, escapes_size);
    cursor.escapes_at += escapes_size;
  }
  return reader;
}

Result<void> NestedDecoder::read_streams(std::size_t stage, std::size_t first, std::size_t count, Cursor& cursor) {
  const std::span<StreamRuns> streams = std::span(at_once_).first(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t stream = first + i;
    SLUICE_ASSIGN(streams[i].reader, open_stream(stage, stream, cursor));
    if (stage == 0 && layout_.has_profile && stream % 2 == 0) read_token_classes(stream / 2, streams[i].reader);
    const PlanInput input{.classes = classes_of(stage, stream), .width = layout_.width, .groups = &groups_of(stream)};
    layout_.has_profile ? plan_by_class(input, streams[i].plan) : plan_by_channel(input, streams[i].plan);
    streams[i].indices = indices_of(stream);
  }
  if (stage != 0) {
    runs_.read_refinement(stage, streams);
  } else if (!runs_.read_base(streams)) {
    return Error{ErrorCode::kCorruptStream, 0, "escapes"};
  }
  for (const StreamRuns& stream : streams) {
    if (!kernels::is_finished(stream.reader.words) || !stream.reader.escapes.empty()) {
      return Error{ErrorCode::kCorruptStream, 0, "stream end"};
    }
  }
  return {};
}

void NestedDecoder::read_token_classes(std::size_t layer, StreamReader& reader) {
  const std::size_t classes = profile_->contents().token_classes;
  std::fill(token_classes_.begin(), token_classes_.end(), std::uint8_t{0});
  // The table has as many symbols as there are classes: whatever the words say, none is larger.
  if (classes > 1) {
    kernels_->rans_decode(reader.words, token_class_tables_[first_stream_ / 2 + layer], token_classes_);
  }
  group_by_class(token_classes_, classes, groups_[layer]);
}

std::span<const std::uint8_t> NestedDecoder::classes_of(std::size_t stage, std::size_t stream) {
  if (layout_.has_profile) return profile_->classes(level_, stage, first_stream_ + stream);
  const std::span<const std::uint8_t> ordinary = sent_classes_.subspan(stream * layout_.width, layout_.width);
  classes_.assign(ordinary.begin(), ordinary.end());
  for (const std::uint8_t name : ordinary) classes_.push_back(static_cast<std::uint8_t>(fine_class(name)));
  return classes_;
}

void NestedDecoder::rebuild_references() {
  const std::size_t size = layout_.indices();
  decoded_.resize(layout_.streams * size);
  predicted_.resize(size);
  for (std::size_t stream = 0; stream < layout_.streams; ++stream) {
    const std::span<float> y = std::span(decoded_).subspan(stream * size, size);
    signal_->predict({first_stream_ + stream, layout_.runs.coded()}, decoded_, first_stream_, predicted_);
    signal_->rebuild(index_plane(1, stream), y);
    for (std::size_t i = 0; i < size; ++i) y[i] += predicted_[i];
  }
}

void NestedDecoder::write_plane(const FrameView& base, std::size_t stages, std::size_t stream,
                                const kernels::MutableUnitView& out) {
  const bool is_key = stream % 2 == 0;
  const kernels::MutablePlaneView& plane = (is_key ? out.k : out.v)[stream / 2];
  const std::uint64_t raw = base.header.raw_tokens.count();
  kernels_->place_rows(base.payload.subspan(stream * layout_.raw_row_size, layout_.raw_row_size), base.header.shape,
                       {0, raw}, plane);
  if (layout_.runs.coded() == 0) return;
  layout_.has_profile ? restore_profiled(base, stages, stream, plane) : restore_fitted(base, stages, stream, plane);
}

void NestedDecoder::restore_fitted(const FrameView& base, std::size_t stages, std::size_t stream,
                                   const kernels::MutablePlaneView& plane) {
  const auto number = [&](std::size_t at, std::size_t index) {
    return from_bf16(load<std::uint16_t>(base.payload, at + 2 * index));
  };
  scales_.resize(layout_.width);
  means_.resize(layout_.width);
  const std::size_t dim = layout_.width / layout_.heads;
  for (std::size_t channel = 0; channel < layout_.width; ++channel) {
    scales_[channel] = number(layout_.steps_at, stream * layout_.heads + channel / dim) * kStageStep[stages - 1];
    means_[channel] = number(layout_.means_at, stream * layout_.width + channel);
  }
  const std::uint64_t raw = base.header.raw_tokens.count();
  const RopeTurn turn = rotation_.turn(stream / 2, 1.0F);
  kernels::RestoreRows rows{.indices = indices_of(stream),
                            .stride = layout_.runs.coded(),
                            .scales = scales_,
                            .means = means_,
                            .rope = turn.rope,
                            .angles = stream % 2 == 0 ? turn.angles : nullptr,
                            .range = {raw, layout_.runs.ordinary}};
  kernels_->restore(rows, base.header.shape, plane, strip_.of(layout_.width));
  rows.first = layout_.runs.ordinary;
  rows.range = {raw + layout_.runs.ordinary, layout_.runs.fine};
  for (float& scale : scales_) scale /= 2;
  kernels_->restore(rows, base.header.shape, plane, strip_.of(layout_.width));
}

void NestedDecoder::restore_profiled(const FrameView& base, std::size_t stages, std::size_t stream,
                                     const kernels::MutablePlaneView& plane) {
  const bool predicts = profile_->contents().tier == Tier::kPredicted;
  const std::size_t number = first_stream_ + stream;
  const RopeTurn turn = rotation_.turn(stream / 2, 1.0F);
  kernels::RestoreRows rows{.values = columns_,
                            .stride = layout_.runs.coded(),
                            .scales = signal_->inverse_weights(number),
                            .means = signal_->means(number),
                            .rope = turn.rope,
                            .angles = stream % 2 == 0 ? turn.angles : nullptr,
                            .range = {base.header.raw_tokens.count(), layout_.runs.coded()}};
  if (predicts) {
    inverse_of_predicted(stages, stream);
  } else {
    const TokenGroups& groups = groups_of(stream);
    signal_->inverse_at_places(number, index_plane(stages, stream), columns_);
    rows.row_of = groups.token_at;
    if (rows.pairs() != 0) {
      reorder_angles(*turn.angles, groups);
      rows.angles = &angles_;
    }
  }
  kernels_->restore(rows, base.header.shape, plane, strip_.of(layout_.width));
}

IndexPlane NestedDecoder::index_plane(std::size_t stages, std::size_t stream) {
  const ProfileLevel& level = profile_->contents().levels[level_];
  return {.indices = indices_of(stream),
          .groups = &groups_of(stream),
          .step = level.step * kStageStep[stages - 1],
          .unit_magnitude = stages == 1 ? level.unit_magnitude : 1.0F};
}

void NestedDecoder::reorder_angles(const kernels::RopeAngles& angles, const TokenGroups& groups) {
  angles_.pairs = angles.pairs;
  angles_.tokens = angles.tokens;
  angles_.cosine.resize(angles.cosine.size());
  angles_.sine.resize(angles.sine.size());
  kernels_->reorder(angles.cosine, groups.token_at, angles_.cosine);
  kernels_->reorder(angles.sine, groups.token_at, angles_.sine);
}

void NestedDecoder::inverse_of_predicted(std::size_t stages, std::size_t stream) {
  const SignalExtent extent{first_stream_ + stream, layout_.runs.coded()};
  if (stages == 1) {
    signal_->inverse(extent, std::span(decoded_).subspan(stream * layout_.indices(), layout_.indices()), columns_);
    return;
  }
  signal_->rebuild(index_plane(stages, stream), coefficients_);
  signal_->predict(extent, decoded_, first_stream_, predicted_);
  for (std::size_t i = 0; i < coefficients_.size(); ++i) coefficients_[i] += predicted_[i];
  signal_->inverse(extent, coefficients_, columns_);
}

}  // namespace sluice::codec
