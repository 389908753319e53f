#include "integration/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/assert.h"

namespace sluice::integration {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLengthSize = 8;
constexpr std::size_t kHeaderAlignment = 8;
constexpr int kMaxDepth = 4;
constexpr const char* kMetadataName = "__metadata__";

struct DTypeName {
  kernels::DType dtype;
  std::string_view name;
};
constexpr std::array kDTypeNames = {DTypeName{kernels::DType::kF32, "F32"}, DTypeName{kernels::DType::kF16, "F16"},
                                    DTypeName{kernels::DType::kBf16, "BF16"},
                                    DTypeName{kernels::DType::kE4m3, "F8_E4M3"},
                                    DTypeName{kernels::DType::kE5m2, "F8_E5M2"}};

std::optional<kernels::DType> dtype_of(std::string_view name) {
  const auto* row = std::ranges::find(kDTypeNames, name, &DTypeName::name);
  if (row == kDTypeNames.end()) return std::nullopt;
  return row->dtype;
}

std::string_view name_of(kernels::DType dtype) {
  const auto* row = std::ranges::find(kDTypeNames, dtype, &DTypeName::dtype);
  SLUICE_ASSERT(row != kDTypeNames.end());
  return row->name;
}

Error bad_field(const char* where) { return Error{ErrorCode::kBadField, 0, where}; }

/// Parses the header and refuses what the JSON library would let pass: depth without bound and names given twice.
Result<Json> parse_header(std::string_view text) {
  bool is_well_formed = true;
  std::vector<std::set<std::string>> names;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) is_well_formed = false;
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end && !names.empty()) names.pop_back();
    if (event == Json::parse_event_t::key) {
      is_well_formed = is_well_formed && names.back().insert(parsed.get<std::string>()).second;
    }
    return is_well_formed;
  };
  Json header = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (!is_well_formed || header.is_discarded() || !header.is_object()) return bad_field("safetensors header");
  return header;
}

/// Bytes of a tensor; nothing when they cannot be counted.
std::optional<std::uint64_t> size_of(kernels::DType dtype, std::span<const std::uint64_t> extents) {
  std::uint64_t size = dtype_size(dtype);
  for (const std::uint64_t extent : extents) {
    if (__builtin_mul_overflow(size, extent, &size)) return std::nullopt;
  }
  return size;
}

Result<std::vector<std::uint64_t>> counts_of(const Json& list, std::size_t most) {
  if (!list.is_array() || list.size() > most) return bad_field("safetensors list");
  std::vector<std::uint64_t> counts;
  for (const Json& entry : list) {
    if (!entry.is_number_unsigned()) return bad_field("safetensors number");
    counts.push_back(entry.get<std::uint64_t>());
  }
  return counts;
}

struct Placed {
  SafetensorsTensor tensor;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

Result<Placed> tensor_of(const std::string& name, const Json& entry, std::span<const std::byte> data) {
  const bool has_fields = entry.is_object() && entry.size() == 3 && entry.contains("dtype") &&
                          entry["dtype"].is_string() && entry.contains("shape") && entry.contains("data_offsets");
  if (!has_fields) return bad_field("safetensors tensor");
  Placed placed;
  placed.tensor.name = name;
  const std::optional<kernels::DType> dtype = dtype_of(entry["dtype"].get_ref<const std::string&>());
  if (!dtype) return Error{ErrorCode::kUnsupported, 0, "safetensors dtype"};
  placed.tensor.dtype = *dtype;
  SLUICE_ASSIGN(placed.tensor.extents, counts_of(entry["shape"], kMaxSafetensorsRank));
  SLUICE_ASSIGN(const std::vector<std::uint64_t> range, counts_of(entry["data_offsets"], 2));
  if (range.size() != 2 || range[0] > range[1]) return bad_field("safetensors offsets");
  placed.begin = range[0];
  placed.end = range[1];
  if (placed.end > data.size()) return Error{ErrorCode::kTruncated, 0, "safetensors data"};
  if (size_of(*dtype, placed.tensor.extents) != placed.end - placed.begin) {
    return Error{ErrorCode::kBadLength, 0, "safetensors tensor size"};
  }
  placed.tensor.data = data.subspan(placed.begin, placed.end - placed.begin);
  return placed;
}

/// Tensors must follow each other without a gap, from the first byte to the last.
Result<void> place(std::vector<Placed> found, std::span<const std::byte> data, SafetensorsView& view) {
  std::ranges::sort(found, [](const Placed& left, const Placed& right) {
    return std::pair(left.begin, left.end) < std::pair(right.begin, right.end);
  });
  std::uint64_t at = 0;
  for (Placed& placed : found) {
    if (placed.begin != at) return Error{ErrorCode::kBadLength, 0, "safetensors gap"};
    at = placed.end;
    view.tensors.push_back(std::move(placed.tensor));
  }
  if (at != data.size()) return Error{ErrorCode::kTrailingBytes, 0, "safetensors data"};
  return {};
}

Result<std::map<std::string, std::string>> metadata_of(const Json& entry) {
  if (!entry.is_object()) return bad_field("safetensors metadata");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) return bad_field("safetensors metadata");
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

}  // namespace

const SafetensorsTensor* SafetensorsView::find(std::string_view name) const {
  const auto tensor = std::ranges::find(tensors, name, &SafetensorsTensor::name);
  return tensor == tensors.end() ? nullptr : &*tensor;
}

Result<SafetensorsView> parse_safetensors(std::span<const std::byte> file) {
  if (file.size() < kLengthSize) return Error{ErrorCode::kTruncated, 0, "safetensors length"};
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthSize);
  if (length > kMaxSafetensorsHeader) return Error{ErrorCode::kBadLength, 0, "safetensors header"};
  if (length > file.size() - kLengthSize) return Error{ErrorCode::kTruncated, 0, "safetensors header"};
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthSize, length);
  SLUICE_ASSIGN(const Json header, parse_header(text));
  if (header.size() > kMaxSafetensorsTensors) return Error{ErrorCode::kBadLength, 0, "safetensors tensors"};

  const std::span<const std::byte> data = file.subspan(kLengthSize + length);
  SafetensorsView view;
  std::vector<Placed> found;
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadataName) {
      SLUICE_ASSIGN(view.metadata, metadata_of(entry));
      continue;
    }
    SLUICE_ASSIGN(Placed placed, tensor_of(name, entry, data));
    found.push_back(std::move(placed));
  }
  SLUICE_TRY(place(std::move(found), data, view));
  return view;
}

std::vector<std::byte> write_safetensors(const SafetensorsView& content) {
  Json header = Json::object();
  if (!content.metadata.empty()) header[kMetadataName] = content.metadata;
  std::uint64_t at = 0;
  for (const SafetensorsTensor& tensor : content.tensors) {
    SLUICE_ASSERT(size_of(tensor.dtype, tensor.extents) == tensor.data.size());
    header[tensor.name] = {
        {"dtype", name_of(tensor.dtype)}, {"shape", tensor.extents}, {"data_offsets", {at, at + tensor.data.size()}}};
    at += tensor.data.size();
  }
  std::string text = header.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');

  std::vector<std::byte> file(kLengthSize + text.size() + at);
  const std::uint64_t length = text.size();
  std::memcpy(file.data(), &length, kLengthSize);
  std::memcpy(file.data() + kLengthSize, text.data(), text.size());
  std::byte* out = file.data() + kLengthSize + text.size();
  for (const SafetensorsTensor& tensor : content.tensors) out = std::ranges::copy(tensor.data, out).out;
  return file;
}

}  // namespace sluice::integration
