#include "codec/decoder.h"

#include <array>
#include <vector>

#include "codec/frame.h"
#include "codec/lossless.h"
#include "codec/nested_decoder.h"
#include "codec/plain.h"
#include "codec/profile_match.h"

namespace sluice::codec {
namespace {

Result<void> check_expected(const kernels::KernelTable& kernels, const FrameHeader& header,
                            const kernels::KvShape& expected, const UnitContext& context) {
  if (header.shape != expected) return Error{ErrorCode::kBadField, 0, "shape differs from what was agreed"};
  const kernels::RopeSpec rope = canonical(context.rope);
  const bool is_agreed = header.rope_detail == rope_detail_digest(kernels, rope) && header.rope == plain_rope(rope);
  if (!is_agreed) return Error{ErrorCode::kBadField, 0, "rope differs"};
  if (header.first_position != context.first_position) return Error{ErrorCode::kBadField, 0, "position differs"};
  return {};
}

// The profile comes before anything of the payload.
Result<void> check_profile(const FrameHeader& header, const UnitContext& context, const Profile* profile) {
  if (!header.has_profile()) return {};
  if (profile == nullptr || profile->id() != header.profile) {
    return Error{ErrorCode::kProfileMismatch, 0, "frame profile"};
  }
  SLUICE_TRY(check_unit_fits(*profile, header.shape, context));
  if (header.first_layer != context.first_layer) return Error{ErrorCode::kBadField, 0, "first layer differs"};
  if (header.level >= profile->contents().levels.size()) return Error{ErrorCode::kBadField, 0, "level of the profile"};
  const std::uint64_t stages = profile->contents().levels[header.level].stages.count();
  if (static_cast<std::uint64_t>(header.part) >= stages) return Error{ErrorCode::kBadField, 0, "stage of the level"};
  return {};
}

}  // namespace

struct Decoder::State {
  State(const kernels::KernelTable& table, const Profile* known)
      : kernels(&table), profile(known), nested(table, known), lossless(table) {}
  const kernels::KernelTable* kernels;
  const Profile* profile;
  NestedDecoder nested;
  LosslessCoder lossless;
  std::vector<float> rows;
};

Decoder::Decoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;

Result<Decoder> Decoder::open(const kernels::KernelTable& kernels, const Profile* profile) {
  return Decoder(std::make_unique<State>(kernels, profile));
}

Result<void> Decoder::decode(std::span<const std::span<const std::byte>> frames, const kernels::KvShape& expected,
                             const UnitContext& context, const kernels::MutableUnitView& out) {
  SLUICE_ASSERT(out.shape == expected);
  SLUICE_ASSERT(out.k.size() == expected.layers.count() && out.v.size() == expected.layers.count());
  if (frames.empty() || frames.size() > kNestedStages) return Error{ErrorCode::kBadField, 0, "number of frames"};
  std::array<FrameView, kNestedStages> views;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    SLUICE_ASSIGN(views[i], parse_frame(*state_->kernels, frames[i]));
    SLUICE_TRY(check_expected(*state_->kernels, views[i].header, expected, context));
    SLUICE_TRY(check_profile(views[i].header, context, state_->profile));
  }
  const Part part = views[0].header.part;
  const bool stands_alone = part == Part::kRaw || part == Part::kLossless || part == Part::kInt8;
  if (!stands_alone) {
    views[0].header.rope = canonical(context.rope);  // now with what headers leave to the digest
    views[0].header.first_layer = context.first_layer;
    return state_->nested.decode(std::span<const FrameView>(views).first(frames.size()), out);
  }
  if (frames.size() != 1) return Error{ErrorCode::kBadField, 0, "number of frames"};
  if (part == Part::kRaw) return read_raw(*state_->kernels, views[0].payload, out);
  if (part == Part::kInt8) return read_int8(*state_->kernels, views[0].payload, out, state_->rows);
  return state_->lossless.read(views[0].payload, out);
}

}  // namespace sluice::codec
