#include "codec/container.h"

#include <algorithm>
#include <array>

#include "codec/byte_order.h"
#include "codec/frame.h"
#include "codec/rope_check.h"
#include "codec/sealed_digest.h"

namespace sluice::codec {
namespace {

// Offsets of FORMAT.md section 7.
constexpr std::size_t kMagicAt = 0, kVersionAt = 4, kDTypeAt = 6, kRopeStyleAt = 7, kLayersAt = 8, kHeadsAt = 12;
constexpr std::size_t kHeadDimAt = 16, kRopeDimsAt = 20, kTokensAt = 24, kRopeBaseAt = 32, kChunkTokensAt = 40;
constexpr std::size_t kGroupLayersAt = 44, kFramesAt = 48, kModelAt = 56, kPrefixAt = 64, kFileSizeAt = 80;
constexpr std::size_t kDigestAt = 88, kScalingAt = 96, kLocalPeriodAt = 97, kFactorAt = 100, kLowAt = 104;
constexpr std::size_t kHighAt = 108, kOriginalAt = 112, kLocalBaseAt = 120;
// Of one entry.
constexpr std::size_t kChunkAt = 0, kGroupAt = 4, kPartAt = 8, kOffsetAt = 16, kSizeAt = 24;
constexpr std::size_t kFrameAlignment = 64;
constexpr std::uint64_t kMaxPromptTokens = std::uint64_t{1} << 32U;

std::uint64_t pieces(std::uint64_t whole, std::uint64_t part) { return (whole + part - 1) / part; }

bool is_valid(const ContainerHeader& header) {
  const kernels::KvShape& shape = header.shape;
  const auto in_range = [](std::uint64_t value, std::uint64_t largest) { return value >= 1 && value <= largest; };
  if (!in_range(shape.layers.count(), kMaxLayers) || !in_range(shape.tokens.count(), kMaxPromptTokens)) return false;
  if (!in_range(shape.kv_heads.count(), kMaxHeads) || !in_range(shape.head_dim.count(), kMaxHeadDim)) return false;
  if (!in_range(header.chunk_tokens.count(), kMaxTokens)) return false;
  if (!in_range(header.group_layers.count(), kMaxLayers) || kernels::dtype_size(shape.dtype) == 0) return false;
  return is_valid_rope(header.rope, shape.head_dim.count());
}

ContainerHeader read_fields(std::span<const std::byte> file) {
  ContainerHeader header;
  header.shape = {.layers = Layers(load<std::uint32_t>(file, kLayersAt)),
                  .tokens = Tokens(load<std::uint64_t>(file, kTokensAt)),
                  .kv_heads = Heads(load<std::uint32_t>(file, kHeadsAt)),
                  .head_dim = HeadDim(load<std::uint32_t>(file, kHeadDimAt)),
                  .dtype = static_cast<kernels::DType>(load<std::uint8_t>(file, kDTypeAt))};
  header.rope = {.style = static_cast<kernels::RopeStyle>(load<std::uint8_t>(file, kRopeStyleAt)),
                 .dims = load<std::uint32_t>(file, kRopeDimsAt),
                 .base = load<double>(file, kRopeBaseAt),
                 .scaling = {.kind = static_cast<kernels::RopeScalingKind>(load<std::uint8_t>(file, kScalingAt)),
                             .factor = load<float>(file, kFactorAt),
                             .low = load<float>(file, kLowAt),
                             .high = load<float>(file, kHighAt),
                             .original_tokens = load<std::uint32_t>(file, kOriginalAt)},
                 .local_base = load<double>(file, kLocalBaseAt),
                 .local_period = load<std::uint8_t>(file, kLocalPeriodAt)};
  header.chunk_tokens = Tokens(load<std::uint32_t>(file, kChunkTokensAt));
  header.group_layers = Layers(load<std::uint32_t>(file, kGroupLayersAt));
  header.model = ContentHash(load<std::uint64_t>(file, kModelAt));
  header.prefix = {load<std::uint64_t>(file, kPrefixAt), load<std::uint64_t>(file, kPrefixAt + 8)};
  return header;
}

void write_fields(const ContainerHeader& header, std::span<std::byte> file) {
  store(file, kMagicAt, kContainerMagic);
  store(file, kVersionAt, kContainerVersion);
  store(file, kDTypeAt, static_cast<std::uint8_t>(header.shape.dtype));
  store(file, kRopeStyleAt, static_cast<std::uint8_t>(header.rope.style));
  store(file, kLayersAt, static_cast<std::uint32_t>(header.shape.layers.count()));
  store(file, kHeadsAt, static_cast<std::uint32_t>(header.shape.kv_heads.count()));
  store(file, kHeadDimAt, static_cast<std::uint32_t>(header.shape.head_dim.count()));
  store(file, kRopeDimsAt, header.rope.dims);
  store(file, kScalingAt, static_cast<std::uint8_t>(header.rope.scaling.kind));
  store(file, kFactorAt, header.rope.scaling.factor);
  store(file, kLowAt, header.rope.scaling.low);
  store(file, kHighAt, header.rope.scaling.high);
  store(file, kOriginalAt, header.rope.scaling.original_tokens);
  store(file, kLocalBaseAt, header.rope.local_base);
  store(file, kLocalPeriodAt, static_cast<std::uint8_t>(header.rope.local_period));
  store(file, kTokensAt, header.shape.tokens.count());
  store(file, kRopeBaseAt, header.rope.base);
  store(file, kChunkTokensAt, static_cast<std::uint32_t>(header.chunk_tokens.count()));
  store(file, kGroupLayersAt, static_cast<std::uint32_t>(header.group_layers.count()));
  store(file, kModelAt, header.model.value());
  store(file, kPrefixAt, header.prefix[0]);
  store(file, kPrefixAt + 8, header.prefix[1]);
  store(file, kFileSizeAt, static_cast<std::uint64_t>(file.size()));
}

// Over header and directory.
std::uint64_t directory_digest(const kernels::KernelTable& kernels, std::span<const std::byte> file,
                               std::uint64_t frames) {
  const std::size_t covered = kContainerHeaderSize + frames * kContainerEntrySize;
  return sealed_digest<kContainerHeaderSize>(kernels, file, covered, kDigestAt);
}

}  // namespace

Result<kernels::KvShape> unit_shape(const ContainerHeader& header, ChunkIndex chunk, LayerGroupIndex group) {
  const std::uint64_t tokens = header.shape.tokens.count(), chunk_tokens = header.chunk_tokens.count();
  const std::uint64_t layers = header.shape.layers.count(), group_layers = header.group_layers.count();
  if (chunk_tokens == 0 || group_layers == 0 || chunk.value() >= pieces(tokens, chunk_tokens) ||
      group.value() >= pieces(layers, group_layers)) {
    return Error{ErrorCode::kInvalidArgument, 0, "unit of container"};
  }
  kernels::KvShape shape = header.shape;
  shape.tokens = Tokens(std::min(chunk_tokens, tokens - chunk.value() * chunk_tokens));
  shape.layers = Layers(std::min(group_layers, layers - group.value() * group_layers));
  return shape;
}

Result<void> ContainerWriter::add(const FrameKey& key, std::span<const std::byte> frame) {
  const auto at = std::lower_bound(pending_.begin(), pending_.end(), key,
                                   [](const Pending& pending, const FrameKey& wanted) { return pending.key < wanted; });
  if (at != pending_.end() && at->key == key) return Error{ErrorCode::kAlreadyExists, 0, "frame of container"};
  if (pending_.size() >= kMaxContainerFrames) return Error{ErrorCode::kInvalidArgument, 0, "container frames"};
  pending_.insert(at, Pending{key, {frame.begin(), frame.end()}});
  return {};
}

std::vector<std::byte> ContainerWriter::finish(const kernels::KernelTable& kernels) const {
  ContainerHeader header = header_;
  header.rope = canonical(header.rope);
  SLUICE_ASSERT(is_valid(header));
  std::size_t size = kContainerHeaderSize + pending_.size() * kContainerEntrySize;
  for (const Pending& pending : pending_) size = padded(size, kFrameAlignment) + pending.frame.size();
  std::vector<std::byte> file(size);
  write_fields(header, file);
  store(std::span(file), kFramesAt, static_cast<std::uint64_t>(pending_.size()));
  std::size_t entry = kContainerHeaderSize;
  std::size_t at = entry + pending_.size() * kContainerEntrySize;
  for (const Pending& pending : pending_) {
    at = padded(at, kFrameAlignment);
    store(std::span(file), entry + kChunkAt, pending.key.chunk.value());
    store(std::span(file), entry + kGroupAt, pending.key.group.value());
    store(std::span(file), entry + kPartAt, static_cast<std::uint8_t>(pending.key.part));
    store(std::span(file), entry + kOffsetAt, static_cast<std::uint64_t>(at));
    store(std::span(file), entry + kSizeAt, static_cast<std::uint64_t>(pending.frame.size()));
    std::copy(pending.frame.begin(), pending.frame.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
    at += pending.frame.size();
    entry += kContainerEntrySize;
  }
  store(std::span(file), kDigestAt, directory_digest(kernels, file, pending_.size()));
  return file;
}

Result<ContainerView> ContainerView::open(const kernels::KernelTable& kernels, std::span<const std::byte> file) {
  if (file.size() < kContainerHeaderSize) return Error{ErrorCode::kTruncated, 0, "container header"};
  if (load<std::uint32_t>(file, kMagicAt) != kContainerMagic) return Error{ErrorCode::kBadMagic, 0, "container"};
  if (load<std::uint16_t>(file, kVersionAt) != kContainerVersion) return Error{ErrorCode::kBadVersion, 0, "container"};
  const std::uint64_t size = load<std::uint64_t>(file, kFileSizeAt);
  if (size > file.size()) return Error{ErrorCode::kTruncated, 0, "container"};
  if (size < file.size()) return Error{ErrorCode::kTrailingBytes, 0, "container"};
  ContainerView view;
  view.file_ = file;
  view.header_ = read_fields(file);
  view.frames_ = load<std::uint64_t>(file, kFramesAt);
  if (view.frames_ > kMaxContainerFrames) return Error{ErrorCode::kBadField, 0, "container frames"};
  const std::size_t directory_end = kContainerHeaderSize + view.frames_ * kContainerEntrySize;
  if (directory_end > file.size()) return Error{ErrorCode::kBadLength, 0, "container directory"};
  if (directory_digest(kernels, file, view.frames_) != load<std::uint64_t>(file, kDigestAt)) {
    return Error{ErrorCode::kDigestMismatch, 0, "container directory"};
  }
  if (!is_valid(view.header_)) return Error{ErrorCode::kBadField, 0, "container header"};
  std::uint64_t end = directory_end;
  for (std::uint64_t i = 0; i < view.frames_; ++i) {
    const std::size_t entry = kContainerHeaderSize + i * kContainerEntrySize;
    const std::uint64_t offset = load<std::uint64_t>(file, entry + kOffsetAt);
    const std::uint64_t length = load<std::uint64_t>(file, entry + kSizeAt);
    if (i > 0 && !(view.key_at(i - 1) < view.key_at(i))) return Error{ErrorCode::kBadField, 0, "container key order"};
    if (!unit_shape(view.header_, view.key_at(i).chunk, view.key_at(i).group)) {
      return Error{ErrorCode::kBadField, 0, "container key"};
    }
    // Frames follow each other at the next multiple of 64, so nothing overlaps and nothing hides between them.
    if (offset != padded(end, kFrameAlignment) || length > file.size() || offset > file.size() - length) {
      return Error{ErrorCode::kBadLength, 0, "container entry"};
    }
    end = offset + length;
  }
  if (end != file.size()) return Error{ErrorCode::kBadLength, 0, "container end"};
  return view;
}

FrameKey ContainerView::key_at(std::uint64_t index) const {
  SLUICE_ASSERT(index < frames_);
  const std::size_t entry = kContainerHeaderSize + index * kContainerEntrySize;
  return {ChunkIndex(load<std::uint32_t>(file_, entry + kChunkAt)),
          LayerGroupIndex(load<std::uint32_t>(file_, entry + kGroupAt)),
          static_cast<Part>(load<std::uint8_t>(file_, entry + kPartAt))};
}

std::span<const std::byte> ContainerView::frame_at(std::uint64_t index) const {
  SLUICE_ASSERT(index < frames_);
  const std::size_t entry = kContainerHeaderSize + index * kContainerEntrySize;
  return file_.subspan(load<std::uint64_t>(file_, entry + kOffsetAt), load<std::uint64_t>(file_, entry + kSizeAt));
}

std::optional<std::span<const std::byte>> ContainerView::find(const FrameKey& key) const {
  std::uint64_t low = 0, high = frames_;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    key_at(middle) < key ? low = middle + 1 : high = middle;
  }
  if (low == frames_ || key_at(low) != key) return std::nullopt;
  return frame_at(low);
}

}  // namespace sluice::codec
