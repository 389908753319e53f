#include "integration/unit_coder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "codec/frame.h"
#include "integration/profile_file.h"
#include "kernels/table.h"

namespace sluice::integration {
namespace {

constexpr std::array kWhole = {Part::kRaw, Part::kLossless};

codec::UnitContext context_of(const Geometry& geometry, UnitKey unit) {
  return {geometry.rope(), geometry.tokens_of(unit).first, geometry.shape().tokens, geometry.layers_of(unit).first};
}

const StoredPart* find_part(std::span<const StoredPart* const> parts, Part wanted) {
  for (const StoredPart* part : parts) {
    if (part->part == wanted) return part;
  }
  return nullptr;
}

/// The parts that give the best rows: an exact one, else the longest prefix of stages, else 8 bit; empty where no rows
/// can be made.
std::vector<const StoredPart*> best_parts(std::span<const StoredPart* const> parts) {
  for (const Part whole : kWhole) {
    if (const StoredPart* part = find_part(parts, whole)) return {part};
  }
  std::vector<const StoredPart*> stages;
  for (const Part stage : codec::kStageParts) {
    const StoredPart* part = find_part(parts, stage);
    if (part == nullptr) break;
    stages.push_back(part);
  }
  const StoredPart* int8 = find_part(parts, Part::kInt8);
  if (stages.size() < 2 && int8 != nullptr) return {int8};
  return stages;
}

}  // namespace

std::optional<Part> decoded_part(std::span<const StoredPart* const> parts) {
  const std::vector<const StoredPart*> best = best_parts(parts);
  if (best.empty()) return std::nullopt;
  return best.back()->part;
}

UnitCoder::UnitCoder(Level level, codec::Encoder encoder, codec::Decoder decoder)
    : level_(std::move(level)), encoder_(std::move(encoder)), decoder_(std::move(decoder)) {}

Result<UnitCoder> UnitCoder::open(const CoderOptions& options) {
  const kernels::KernelTable& table = kernels::available_kernels().front();
  std::shared_ptr<const codec::Profile> profile;
  codec::EncoderOptions coding;
  SLUICE_ASSIGN(std::optional<codec::Profile> found, read_profile(table, options.profile));
  if (found) {
    profile = std::make_shared<const codec::Profile>(*std::move(found));
    coding.profile = profile.get();
    SLUICE_ASSIGN(coding.level, profile->find_level(options.level));
  }
  SLUICE_ASSIGN(codec::Encoder encoder, codec::Encoder::open(table, coding));
  SLUICE_ASSIGN(codec::Decoder decoder, codec::Decoder::open(table, profile.get()));
  return UnitCoder({std::move(profile), coding.level}, std::move(encoder), std::move(decoder));
}

ContentHash UnitCoder::profile() const {
  constexpr ContentHash kNoProfile(1);  // 0 would say that nothing is decoded here
  return level_.profile == nullptr ? kNoProfile : level_.profile->id();
}

std::span<const codec::StageQuality> UnitCoder::stated_quality() const {
  if (level_.profile == nullptr) return {};
  const codec::ProfileLevel& level = level_.profile->contents().levels[level_.number];
  return std::span(level.quality).first(level.stages.count());
}

Result<StoredUnit> UnitCoder::encode(const KvPlanes& planes, const Geometry& geometry, UnitKey unit,
                                     PartChoice choice) {
  const KvSlice slice = planes.slice(geometry.tokens_of(unit), geometry.layers_of(unit));
  const kernels::UnitView view = slice.view();
  const codec::UnitContext context = context_of(geometry, unit);
  StoredUnit made;
  Error refused{ErrorCode::kUnsupported, 0, "no part was chosen"};
  const auto keep = [&](Part part, std::span<const std::byte> bytes) {
    made.push_back({part, std::vector<std::byte>(bytes.begin(), bytes.end())});
  };
  using Whole =
      Result<Bytes> (codec::Encoder::*)(const kernels::UnitView&, const codec::UnitContext&, std::span<std::byte>);
  const auto whole = [&](bool chosen, Part part, Whole make) {
    if (!chosen) return;
    scratch_.resize(codec::Encoder::max_encoded_size(view.shape, part).count());
    const Result<Bytes> size = (encoder_.*make)(view, context, scratch_);
    if (!size) {
      refused = size.error();
      return;
    }
    keep(part, std::span(scratch_).first(size->count()));
  };
  whole(choice.raw, Part::kRaw, &codec::Encoder::encode_raw);
  whole(choice.lossless, Part::kLossless, &codec::Encoder::encode_lossless);
  whole(choice.int8, Part::kInt8, &codec::Encoder::encode_int8);
  if (choice.nested) {
    scratch_.resize(codec::Encoder::max_nested_size(view.shape).count());
    const Result<codec::EncodedUnit> nested = encoder_.encode(view, context, scratch_);
    if (!nested) refused = nested.error();
    if (nested) {
      for (const codec::EncodedPart& part : nested->parts()) {
        keep(part.part, std::span(scratch_).subspan(part.offset.count(), part.size.count()));
      }
    }
  }
  if (made.empty()) return refused;
  return made;
}

Result<void> UnitCoder::decode(std::span<const StoredPart* const> parts, const Geometry& geometry, UnitKey unit,
                               KvPlanes& planes) {
  std::vector<std::span<const std::byte>> frames;
  for (const StoredPart* part : best_parts(parts)) frames.emplace_back(part->bytes);
  if (frames.empty()) return Error{ErrorCode::kNotFound, 0, "no decodable part"};
  const MutableKvSlice slice = planes.mutable_slice(geometry.tokens_of(unit), geometry.layers_of(unit));
  return decoder_.decode(frames, geometry.shape_of(unit), context_of(geometry, unit), slice.view());
}

}  // namespace sluice::integration
