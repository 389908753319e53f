// The half of safetensors.h that knows what a KV cache is: which tensors, which metadata.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ranges>

#include "base/assert.h"
#include "codec/rope_check.h"
#include "integration/safetensors.h"

namespace sluice::integration {
namespace {

struct StyleName {
  kernels::RopeStyle style;
  std::string_view name;
};
constexpr std::array kStyleNames = {StyleName{kernels::RopeStyle::kNone, "none"},
                                    StyleName{kernels::RopeStyle::kPairs, "pairs"},
                                    StyleName{kernels::RopeStyle::kHalves, "halves"}};

/// A number that takes the whole text; `fallback` where the key is missing.
template <typename Number>
Result<Number> number_of(const SafetensorsView& view, const char* key, Number fallback) {
  const auto entry = view.metadata.find(key);
  if (entry == view.metadata.end()) return fallback;
  const std::string& text = entry->second;
  Number value{};
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size()) return Error{ErrorCode::kBadField, 0, key};
  return value;
}

template <typename Number>
std::string text_of(Number value) {
  std::array<char, 64> text;
  const auto [end, fault] = std::to_chars(text.data(), text.data() + text.size(), value);
  SLUICE_ASSERT(fault == std::errc());
  return std::string(text.data(), end);
}

using Json = nlohmann::json;

struct ScalingName {
  kernels::RopeScalingKind kind;
  std::string_view name;
  const char* low;  ///< keys of the two bounds, as transformers spells them
  const char* high;
};
constexpr std::array kScalingNames = {
    ScalingName{kernels::RopeScalingKind::kNone, "default", nullptr, nullptr},
    ScalingName{kernels::RopeScalingKind::kLinear, "linear", nullptr, nullptr},
    ScalingName{kernels::RopeScalingKind::kLlama3, "llama3", "low_freq_factor", "high_freq_factor"},
    ScalingName{kernels::RopeScalingKind::kYarn, "yarn", "beta_slow", "beta_fast"}};
constexpr const char* kOriginalKey = "original_max_position_embeddings";

float float_of(const Json& object, const char* key, float fallback) {
  const auto entry = object.find(key);
  return entry != object.end() && entry->is_number() ? entry->get<float>() : fallback;
}

/// Metadata rope.scaling: a JSON object as a model's config.json has it under rope_scaling.
Result<kernels::RopeScaling> scaling_of(const SafetensorsView& view) {
  const auto entry = view.metadata.find("rope.scaling");
  if (entry == view.metadata.end() || entry->second == "null") return kernels::RopeScaling{};
  const Json object = Json::parse(entry->second, nullptr, false);
  if (!object.is_object()) return Error{ErrorCode::kBadField, 0, "rope.scaling"};
  const auto type = object.contains("rope_type") ? object.find("rope_type") : object.find("type");
  if (type == object.end() || !type->is_string()) return Error{ErrorCode::kBadField, 0, "rope.scaling"};
  const auto* row =
      std::ranges::find(kScalingNames, std::string_view(type->get_ref<const std::string&>()), &ScalingName::name);
  if (row == kScalingNames.end()) return Error{ErrorCode::kUnsupported, 0, "rope.scaling"};
  kernels::RopeScaling scaling{.kind = row->kind};
  if (row->kind == kernels::RopeScalingKind::kNone) return scaling;
  scaling.factor = float_of(object, "factor", 1.0F);
  if (row->low != nullptr) {
    scaling.low = float_of(object, row->low, 1.0F);
    scaling.high = float_of(object, row->high, row->kind == kernels::RopeScalingKind::kYarn ? 32.0F : 4.0F);
    scaling.original_tokens = static_cast<std::uint32_t>(std::clamp(float_of(object, kOriginalKey, 0.0F), 0.0F, 1e9F));
  }
  if (!codec::is_valid_scaling(scaling)) return Error{ErrorCode::kBadField, 0, "rope.scaling"};
  return scaling;
}

std::string text_of(const kernels::RopeScaling& scaling) {
  const auto* row = std::ranges::find(kScalingNames, scaling.kind, &ScalingName::kind);
  SLUICE_ASSERT(row != kScalingNames.end());
  Json object{{"rope_type", row->name}, {"factor", scaling.factor}};
  if (row->low != nullptr) {
    object[row->low] = scaling.low;
    object[row->high] = scaling.high;
    object[kOriginalKey] = scaling.original_tokens;
  }
  return object.dump();
}

Result<kernels::RopeSpec> rope_of(const SafetensorsView& view, HeadDim head_dim) {
  const auto entry = view.metadata.find("rope.style");
  if (entry == view.metadata.end()) return kernels::RopeSpec{};
  const auto* row = std::ranges::find(kStyleNames, std::string_view(entry->second), &StyleName::name);
  if (row == kStyleNames.end()) return Error{ErrorCode::kBadField, 0, "rope.style"};
  kernels::RopeSpec rope{row->style, 0, 10000.0};
  if (rope.style == kernels::RopeStyle::kNone) return kernels::RopeSpec{};
  SLUICE_ASSIGN(const std::uint64_t dims, number_of<std::uint64_t>(view, "rope.dims", head_dim.count()));
  SLUICE_ASSIGN(rope.base, number_of<double>(view, "rope.base", rope.base));
  if (dims == 0 || dims % 2 != 0 || dims > head_dim.count()) return Error{ErrorCode::kBadField, 0, "rope.dims"};
  if (!std::isfinite(rope.base) || rope.base <= 1.0) return Error{ErrorCode::kBadField, 0, "rope.base"};
  rope.dims = static_cast<std::uint32_t>(dims);
  SLUICE_ASSIGN(rope.scaling, scaling_of(view));
  SLUICE_ASSIGN(rope.local_base, number_of<double>(view, "rope.local_base", 0.0));
  SLUICE_ASSIGN(rope.local_period, number_of<std::uint32_t>(view, "rope.local_period", 0));
  if (!codec::is_valid_local(rope)) return Error{ErrorCode::kBadField, 0, "rope.local_base"};
  return rope;
}

SafetensorsTensor tensor_of(const char* name, const kernels::KvShape& shape, std::span<const std::byte> data) {
  return {name,
          shape.dtype,
          {shape.layers.count(), shape.tokens.count(), shape.kv_heads.count(), shape.head_dim.count()},
          data};
}

}  // namespace

Result<KvTensors> read_kv_tensors(std::span<const std::byte> file) {
  constexpr std::uint64_t kMostExtent = std::uint64_t{1} << 31;
  SLUICE_ASSIGN(const SafetensorsView view, parse_safetensors(file));
  const SafetensorsTensor* k = view.find("k");
  const SafetensorsTensor* v = view.find("v");
  if (k == nullptr || v == nullptr) return Error{ErrorCode::kNotFound, 0, "tensors k and v"};
  if (k->extents.size() != 4) return Error{ErrorCode::kIncompatibleLayout, 0, "extents of k"};
  if (k->extents != v->extents || k->dtype != v->dtype) return Error{ErrorCode::kIncompatibleLayout, 0, "v unlike k"};
  for (const std::uint64_t extent : k->extents) {
    if (extent == 0 || extent > kMostExtent) return Error{ErrorCode::kIncompatibleLayout, 0, "extents of k"};
  }
  KvTensors tensors;
  tensors.shape = {Layers(k->extents[0]), Tokens(k->extents[1]), Heads(k->extents[2]), HeadDim(k->extents[3]),
                   k->dtype};
  SLUICE_ASSIGN(tensors.rope, rope_of(view, tensors.shape.head_dim));
  SLUICE_ASSIGN(const std::uint64_t first, number_of<std::uint64_t>(view, "position.first", 0));
  if (first > kMostExtent) return Error{ErrorCode::kBadField, 0, "position.first"};
  tensors.first_position = TokenIndex(first);
  tensors.k = k->data;
  tensors.v = v->data;
  return tensors;
}

std::vector<std::byte> write_kv_tensors(const KvTensors& tensors) {
  SafetensorsView content;
  content.tensors = {tensor_of("k", tensors.shape, tensors.k), tensor_of("v", tensors.shape, tensors.v)};
  const auto* row = std::ranges::find(kStyleNames, tensors.rope.style, &StyleName::style);
  SLUICE_ASSERT(row != kStyleNames.end());
  content.metadata["rope.style"] = row->name;
  if (tensors.rope.style != kernels::RopeStyle::kNone) {
    content.metadata["rope.base"] = text_of(tensors.rope.base);
    content.metadata["rope.dims"] = text_of(tensors.rope.dims);
    const kernels::RopeScaling& scaling = tensors.rope.scaling;
    if (scaling != kernels::RopeScaling{}) content.metadata["rope.scaling"] = text_of(scaling);
    if (tensors.rope.local_period != 0) {
      content.metadata["rope.local_base"] = text_of(tensors.rope.local_base);
      content.metadata["rope.local_period"] = text_of(tensors.rope.local_period);
    }
  }
  content.metadata["position.first"] = text_of(tensors.first_position.value());
  return write_safetensors(content);
}

Result<KvPlanes> planes_of(const KvTensors& tensors) {
  SLUICE_ASSIGN(KvPlanes planes, KvPlanes::allocate(tensors.shape));
  const std::size_t layer_bytes = planes.k_layer(LayerIndex(0)).size();
  for (std::uint32_t layer = 0; layer < tensors.shape.layers.count(); ++layer) {
    std::ranges::copy(tensors.k.subspan(layer * layer_bytes, layer_bytes),
                      planes.mutable_k_layer(LayerIndex(layer)).begin());
    std::ranges::copy(tensors.v.subspan(layer * layer_bytes, layer_bytes),
                      planes.mutable_v_layer(LayerIndex(layer)).begin());
  }
  return planes;
}

}  // namespace sluice::integration
