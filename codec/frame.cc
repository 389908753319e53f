#include "codec/frame.h"

#include <algorithm>
#include <array>

#include "codec/byte_order.h"
#include "codec/rope_check.h"

namespace sluice::codec {
namespace {

// Offsets of FORMAT.md section 2.
constexpr std::size_t kMagicAt = 0, kVersionAt = 4, kPartAt = 6, kDTypeAt = 7, kLayersAt = 8, kTokensAt = 12;
constexpr std::size_t kHeadsAt = 16, kHeadDimAt = 20, kRopeStyleAt = 24, kRopeDimsAt = 28, kRopeBaseAt = 32;
constexpr std::size_t kLevelAt = 25, kFirstLayerAt = 26;
constexpr std::size_t kPositionAt = 40, kRawTokensAt = 48, kFineTokensAt = 50, kProfileAt = 56, kParentAt = 64;
constexpr std::size_t kPayloadAt = 72, kDigestAt = 80, kRopeDetailAt = 88;

bool is_part(std::uint8_t number) {
  const Part part{number};
  return is_stage(part) || part == Part::kRaw || part == Part::kLossless || part == Part::kInt8;
}

bool in_range(std::uint64_t value, std::uint64_t largest) { return value >= 1 && value <= largest; }

bool is_valid(const FrameHeader& header) {
  const kernels::KvShape& shape = header.shape;
  if (!in_range(shape.layers.count(), kMaxLayers) || !in_range(shape.tokens.count(), kMaxTokens)) return false;
  if (!in_range(shape.kv_heads.count(), kMaxHeads) || !in_range(shape.head_dim.count(), kMaxHeadDim)) return false;
  if (kernels::dtype_size(shape.dtype) == 0) return false;
  if (!is_valid_rope(header.rope, shape.head_dim.count())) return false;
  if (header.rope.style == kernels::RopeStyle::kNone && header.rope_detail != ContentHash()) return false;
  if (header.first_position.value() > kMaxPosition) return false;
  const std::uint64_t special = header.raw_tokens.count() + header.fine_tokens.count();
  if (special > shape.tokens.count() || (!is_stage(header.part) && special != 0)) return false;
  if (header.has_profile() && (!is_stage(header.part) || !header.fine_tokens.is_zero())) return false;
  if (!header.has_profile() && (header.level != 0 || header.first_layer != LayerIndex())) return false;
  const bool refines = is_stage(header.part) && header.part != Part::kBase;
  return refines || header.parent == ContentHash();
}

FrameHeader read_fields(std::span<const std::byte> bytes) {
  FrameHeader header;
  header.part = static_cast<Part>(load<std::uint8_t>(bytes, kPartAt));
  header.shape.dtype = static_cast<kernels::DType>(load<std::uint8_t>(bytes, kDTypeAt));
  header.shape.layers = Layers(load<std::uint32_t>(bytes, kLayersAt));
  header.shape.tokens = Tokens(load<std::uint32_t>(bytes, kTokensAt));
  header.shape.kv_heads = Heads(load<std::uint32_t>(bytes, kHeadsAt));
  header.shape.head_dim = HeadDim(load<std::uint32_t>(bytes, kHeadDimAt));
  header.rope.style = static_cast<kernels::RopeStyle>(load<std::uint8_t>(bytes, kRopeStyleAt));
  header.level = load<std::uint8_t>(bytes, kLevelAt);
  header.first_layer = LayerIndex(load<std::uint16_t>(bytes, kFirstLayerAt));
  header.rope.dims = load<std::uint32_t>(bytes, kRopeDimsAt);
  header.rope.base = load<double>(bytes, kRopeBaseAt);
  header.first_position = TokenIndex(load<std::uint64_t>(bytes, kPositionAt));
  header.raw_tokens = Tokens(load<std::uint16_t>(bytes, kRawTokensAt));
  header.fine_tokens = Tokens(load<std::uint16_t>(bytes, kFineTokensAt));
  header.profile = ContentHash(load<std::uint64_t>(bytes, kProfileAt));
  header.parent = ContentHash(load<std::uint64_t>(bytes, kParentAt));
  header.payload = Bytes(load<std::uint64_t>(bytes, kPayloadAt));
  header.rope_detail = ContentHash(load<std::uint64_t>(bytes, kRopeDetailAt));
  header.digest = ContentHash(load<std::uint64_t>(bytes, kDigestAt));
  return header;
}

void write_fields(const FrameHeader& header, std::span<std::byte> bytes) {
  std::fill(bytes.begin(), bytes.begin() + kFrameHeaderSize, std::byte{0});
  store(bytes, kMagicAt, kFrameMagic);
  store(bytes, kVersionAt, kFrameVersion);
  store(bytes, kPartAt, static_cast<std::uint8_t>(header.part));
  store(bytes, kDTypeAt, static_cast<std::uint8_t>(header.shape.dtype));
  store(bytes, kLayersAt, static_cast<std::uint32_t>(header.shape.layers.count()));
  store(bytes, kTokensAt, static_cast<std::uint32_t>(header.shape.tokens.count()));
  store(bytes, kHeadsAt, static_cast<std::uint32_t>(header.shape.kv_heads.count()));
  store(bytes, kHeadDimAt, static_cast<std::uint32_t>(header.shape.head_dim.count()));
  store(bytes, kRopeStyleAt, static_cast<std::uint8_t>(header.rope.style));
  store(bytes, kLevelAt, header.level);
  store(bytes, kFirstLayerAt, static_cast<std::uint16_t>(header.first_layer.value()));
  store(bytes, kRopeDimsAt, header.rope.dims);
  store(bytes, kRopeBaseAt, header.rope.base);
  store(bytes, kPositionAt, header.first_position.value());
  store(bytes, kRawTokensAt, static_cast<std::uint16_t>(header.raw_tokens.count()));
  store(bytes, kFineTokensAt, static_cast<std::uint16_t>(header.fine_tokens.count()));
  store(bytes, kProfileAt, header.profile.value());
  store(bytes, kParentAt, header.parent.value());
  store(bytes, kRopeDetailAt, header.rope_detail.value());
  store(bytes, kPayloadAt, header.payload.count());
}

// The payload's digest is seeded with the header's, so that one number covers both.
ContentHash frame_digest(const kernels::KernelTable& kernels, std::span<const std::byte> frame) {
  std::array<std::byte, kFrameHeaderSize> header;
  std::copy(frame.begin(), frame.begin() + kFrameHeaderSize, header.begin());
  store(std::span<std::byte>(header), kDigestAt, std::uint64_t{0});
  return ContentHash(kernels.digest(frame.subspan(kFrameHeaderSize), kernels.digest(header, 0)));
}

}  // namespace

kernels::RopeSpec canonical(const kernels::RopeSpec& rope) {
  if (rope.style == kernels::RopeStyle::kNone) return {.style = kernels::RopeStyle::kNone, .dims = 0, .base = 0.0};
  return rope;
}

kernels::RopeSpec plain_rope(const kernels::RopeSpec& rope) {
  return {.style = rope.style, .dims = rope.dims, .base = rope.base};
}

ContentHash rope_detail_digest(const kernels::KernelTable& kernels, const kernels::RopeSpec& rope) {
  constexpr std::size_t kScalingSize = 20;
  constexpr std::size_t kWholeSize = 32;
  const bool has_local = rope.local_period != 0;
  if (rope.scaling.kind == kernels::RopeScalingKind::kNone && !has_local) return {};
  std::array<std::byte, kWholeSize> bytes{};
  const std::span<std::byte> out(bytes);
  store(out, 0, static_cast<std::uint32_t>(rope.scaling.kind));
  store(out, 4, rope.scaling.factor);
  store(out, 8, rope.scaling.low);
  store(out, 12, rope.scaling.high);
  store(out, 16, rope.scaling.original_tokens);
  store(out, 20, rope.local_period);
  store(out, 24, rope.local_base);
  return ContentHash(kernels.digest(out.first(has_local ? kWholeSize : kScalingSize), 0));
}

Result<FrameView> parse_frame(const kernels::KernelTable& kernels, std::span<const std::byte> frame) {
  if (frame.size() < kFrameHeaderSize) return Error{ErrorCode::kTruncated, 0, "frame header"};
  if (load<std::uint32_t>(frame, kMagicAt) != kFrameMagic) return Error{ErrorCode::kBadMagic, 0, "frame header"};
  if (load<std::uint16_t>(frame, kVersionAt) != kFrameVersion) return Error{ErrorCode::kBadVersion, 0, "frame header"};
  const FrameHeader header = read_fields(frame);
  if (!is_part(static_cast<std::uint8_t>(header.part))) return Error{ErrorCode::kBadField, 0, "frame part"};
  if (!is_valid(header)) return Error{ErrorCode::kBadField, 0, "frame header"};
  const std::size_t payload = frame.size() - kFrameHeaderSize;
  if (header.payload.count() > payload) return Error{ErrorCode::kTruncated, 0, "frame payload"};
  if (header.payload.count() < payload) return Error{ErrorCode::kTrailingBytes, 0, "frame payload"};
  if (frame_digest(kernels, frame) != header.digest) return Error{ErrorCode::kDigestMismatch, 0, "frame"};
  return FrameView{header, frame.subspan(kFrameHeaderSize)};
}

ContentHash seal_frame(const kernels::KernelTable& kernels, const FrameHeader& header, std::span<std::byte> frame) {
  SLUICE_ASSERT(frame.size() >= kFrameHeaderSize);
  FrameHeader complete = header;
  complete.rope = canonical(header.rope);
  complete.rope_detail = rope_detail_digest(kernels, complete.rope);
  complete.rope = plain_rope(complete.rope);
  complete.payload = Bytes(frame.size() - kFrameHeaderSize);
  SLUICE_ASSERT(is_valid(complete));
  write_fields(complete, frame);
  const ContentHash digest = frame_digest(kernels, frame);
  store(frame, kDigestAt, digest.value());
  return digest;
}

}  // namespace sluice::codec
