#include "integration/engines/llama_cpp/state_blob.h"

#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "base/assert.h"

namespace sluice::integration::llama_cpp {
namespace {

static_assert(std::endian::native == std::endian::little, "the blob is little endian and so must this machine be");

constexpr std::size_t kHeaderSize = 16;
constexpr std::size_t kCellSize = 12;
constexpr std::size_t kTailSize = 8;
constexpr std::size_t kPlaneHeaderSize = 12;

/// ggml's number of an element type; nothing for those it cannot hold in a cache.
std::optional<std::int32_t> ggml_type_of(kernels::DType dtype) {
  switch (dtype) {
    case kernels::DType::kF32:
      return 0;
    case kernels::DType::kF16:
      return 1;
    case kernels::DType::kBf16:
      return 30;
    case kernels::DType::kE4m3:
    case kernels::DType::kE5m2:
      return std::nullopt;
  }
  return std::nullopt;
}

/// Where plane number `plane` (K of each layer, then V of each layer) has its rows.
std::size_t plane_offset(const kernels::KvShape& shape, std::uint64_t plane) {
  const std::uint64_t rows = shape.row_bytes().count() * shape.tokens.count();
  return static_cast<std::size_t>(kHeaderSize + kCellSize * shape.tokens.count() + kTailSize +
                                  plane * (kPlaneHeaderSize + rows) + kPlaneHeaderSize);
}

/// Fields one after the other. Precondition of each step: the size was checked as a whole before.
class FieldWriter {
 public:
  explicit FieldWriter(std::byte* out) : out_(out) {}
  template <typename Field>
  void put(Field field) {
    std::memcpy(out_, &field, sizeof field);
    out_ += sizeof field;
  }
  void put(std::span<const std::byte> bytes) {
    std::memcpy(out_, bytes.data(), bytes.size());
    out_ += bytes.size();
  }

 private:
  std::byte* out_;
};

template <typename Field>
Field field_at(std::span<const std::byte> blob, std::size_t offset) {
  Field field;
  std::memcpy(&field, blob.data() + offset, sizeof field);
  return field;
}

Error bad_field(const char* where) { return Error{ErrorCode::kBadField, 0, where}; }

/// Magic, stream and cell count, all of which decide the length.
Result<void> check_header(std::span<const std::byte> blob, const kernels::KvShape& expected) {
  if (blob.size() < kHeaderSize) return Error{ErrorCode::kTruncated, 0, "state blob header"};
  if (field_at<std::uint32_t>(blob, 0) != kStateMagic) return Error{ErrorCode::kBadMagic, 0, "state blob"};
  if (field_at<std::int32_t>(blob, 4) < 0) return bad_field("state blob sequence");
  if (field_at<std::uint32_t>(blob, 8) != 1) return bad_field("state blob streams");
  if (field_at<std::uint32_t>(blob, 12) != expected.tokens.count()) return bad_field("state blob cells");
  const std::uint64_t size = state_blob_size(expected).count();
  const std::uint64_t layout_end = kHeaderSize + kCellSize * expected.tokens.count() + kTailSize;
  if (blob.size() < layout_end) return Error{ErrorCode::kTruncated, 0, "state blob cells"};
  if (field_at<std::uint32_t>(blob, layout_end - 8) != 0) return bad_field("state blob transposed v");
  if (field_at<std::uint32_t>(blob, layout_end - 4) != expected.layers.count()) {
    return Error{ErrorCode::kIncompatibleLayout, 0, "state blob layers"};
  }
  if (blob.size() < size) return Error{ErrorCode::kTruncated, 0, "state blob rows"};
  if (blob.size() > size) return Error{ErrorCode::kTrailingBytes, 0, "state blob"};
  return {};
}

Result<void> check_cells(std::span<const std::byte> blob, Tokens cells) {
  const auto sequence = field_at<std::int32_t>(blob, 4);
  for (std::uint64_t i = 0; i < cells.count(); ++i) {
    const auto offset = static_cast<std::size_t>(kHeaderSize + kCellSize * i);
    if (field_at<std::int32_t>(blob, offset) != static_cast<std::int32_t>(i)) return bad_field("state blob position");
    if (field_at<std::uint32_t>(blob, offset + 4) != 1) return bad_field("state blob sequences of a cell");
    if (field_at<std::int32_t>(blob, offset + 8) != sequence) return bad_field("state blob sequence of a cell");
  }
  return {};
}

bool is_cell_count(Tokens cells) {
  return !cells.is_zero() && cells.count() <= static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max());
}

}  // namespace

Bytes state_blob_size(const kernels::KvShape& shape) {
  const std::uint64_t layout = kHeaderSize + kCellSize * shape.tokens.count() + kTailSize;
  return Bytes(layout + 2 * shape.layers.count() * kPlaneHeaderSize) + shape.raw_bytes();
}

Result<void> write_state_blob(const KvPlanes& planes, Tokens cells, std::span<std::byte> out) {
  kernels::KvShape shape = planes.shape();
  const std::optional<std::int32_t> type = ggml_type_of(shape.dtype);
  if (!type) return Error{ErrorCode::kUnsupported, 0, "state blob dtype"};
  if (!is_cell_count(cells) || cells > shape.tokens) return Error{ErrorCode::kInvalidArgument, 0, "state blob cells"};
  shape.tokens = cells;
  if (out.size() != state_blob_size(shape).count()) return Error{ErrorCode::kInvalidArgument, 0, "state blob size"};

  FieldWriter writer(out.data());
  writer.put(kStateMagic);
  writer.put(std::int32_t{0});
  writer.put(std::uint32_t{1});
  writer.put(static_cast<std::uint32_t>(cells.count()));
  for (std::uint64_t i = 0; i < cells.count(); ++i) {
    writer.put(static_cast<std::int32_t>(i));
    writer.put(std::uint32_t{1});
    writer.put(std::int32_t{0});
  }
  writer.put(std::uint32_t{0});
  writer.put(static_cast<std::uint32_t>(shape.layers.count()));
  const auto rows = static_cast<std::size_t>((shape.row_bytes() * cells.count()).count());
  for (std::uint64_t plane = 0; plane < 2 * shape.layers.count(); ++plane) {
    const bool is_k = plane < shape.layers.count();
    const LayerIndex layer(static_cast<std::uint32_t>(plane % shape.layers.count()));
    writer.put(*type);
    writer.put(shape.row_bytes().count());
    writer.put((is_k ? planes.k_layer(layer) : planes.v_layer(layer)).first(rows));
  }
  return {};
}

Result<StateBlobView> StateBlobView::parse(std::span<const std::byte> blob, const kernels::KvShape& expected) {
  const std::optional<std::int32_t> type = ggml_type_of(expected.dtype);
  if (!type) return Error{ErrorCode::kUnsupported, 0, "state blob dtype"};
  if (!is_cell_count(expected.tokens)) return bad_field("state blob cells");
  SLUICE_TRY(check_header(blob, expected));
  SLUICE_TRY(check_cells(blob, expected.tokens));
  for (std::uint64_t plane = 0; plane < 2 * expected.layers.count(); ++plane) {
    const std::size_t header = plane_offset(expected, plane) - kPlaneHeaderSize;
    const bool is_type = field_at<std::int32_t>(blob, header) == *type;
    const bool is_row = field_at<std::uint64_t>(blob, header + 4) == expected.row_bytes().count();
    if (!is_type || !is_row) return Error{ErrorCode::kIncompatibleLayout, 0, "state blob plane"};
  }
  return StateBlobView(blob, expected);
}

std::span<const std::byte> StateBlobView::k_layer(LayerIndex layer) const {
  SLUICE_ASSERT(layer.value() < shape_.layers.count());
  return blob_.subspan(plane_offset(shape_, layer.value()),
                       static_cast<std::size_t>((shape_.row_bytes() * shape_.tokens.count()).count()));
}

std::span<const std::byte> StateBlobView::v_layer(LayerIndex layer) const {
  SLUICE_ASSERT(layer.value() < shape_.layers.count());
  return blob_.subspan(plane_offset(shape_, shape_.layers.count() + layer.value()),
                       static_cast<std::size_t>((shape_.row_bytes() * shape_.tokens.count()).count()));
}

}  // namespace sluice::integration::llama_cpp
