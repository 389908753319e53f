#include "integration/calibration_dump.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "integration/safetensors.h"

namespace sluice::integration {
namespace {

using codec::calibration::CurvePoint;
using codec::calibration::Dump;
using codec::calibration::DumpTensor;
using Extents = std::vector<std::uint64_t>;

constexpr std::uint64_t kMostExtent = std::uint64_t{1} << 31;
constexpr std::size_t kMostPoints = 4096;

Error unfit(const char* tensor) { return Error{ErrorCode::kIncompatibleLayout, 0, tensor}; }

DumpTensor view_of(const SafetensorsTensor& tensor) { return {tensor.dtype, tensor.data}; }

bool are_sound(const Extents& extents, std::size_t rank) {
  return extents.size() == rank &&
         std::ranges::all_of(extents, [](std::uint64_t extent) { return extent > 0 && extent <= kMostExtent; });
}

Result<void> read_gradients(const SafetensorsView& view, Dump& dump) {
  const SafetensorsTensor* gk = view.find("gk");
  const SafetensorsTensor* gv = view.find("gv");
  if (gk == nullptr && gv == nullptr) return {};
  if (gk == nullptr || gv == nullptr) return unfit(gk == nullptr ? "gv without gk" : "gk without gv");
  if (!are_sound(gk->extents, 5)) return unfit("extents of gk");
  if (gk->extents != gv->extents) return unfit("gv unlike gk");
  const Extents& extents = gk->extents;
  const bool fits = extents[1] == dump.shape.layers.count() && extents[2] <= dump.shape.tokens.count() &&
                    extents[3] == dump.shape.kv_heads.count() && extents[4] == dump.shape.head_dim.count();
  if (!fits) return unfit("gk unlike k");
  dump.gk = view_of(*gk);
  dump.gv = view_of(*gv);
  dump.gradient_rows = extents[0];
  dump.gradient_tokens = Tokens(extents[2]);
  const auto entry = view.metadata.find("gradients.following");
  if (entry == view.metadata.end()) return {};
  const std::string& text = entry->second;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), dump.gradient_targets);
  if (fault != std::errc() || end != text.data() + text.size() || dump.gradient_targets > kMostExtent) {
    return Error{ErrorCode::kBadField, 0, "gradients.following"};
  }
  return {};
}

Result<void> read_projections(const SafetensorsView& view, Dump& dump) {
  const SafetensorsTensor* q = view.find("q");
  const SafetensorsTensor* wo = view.find("wo");
  if (q == nullptr || wo == nullptr) return {};  // one alone says nothing about K against V
  if (!are_sound(q->extents, 4)) return unfit("extents of q");
  const bool fits = q->extents[0] == dump.shape.layers.count() && q->extents[1] == dump.shape.tokens.count() &&
                    q->extents[2] % dump.shape.kv_heads.count() == 0 && q->extents[3] == dump.shape.head_dim.count();
  if (!fits) return unfit("q unlike k");
  if (!are_sound(wo->extents, 3)) return unfit("extents of wo");
  if (wo->extents[0] != q->extents[0] || wo->extents[2] != q->extents[2] * q->extents[3]) return unfit("wo unlike q");
  dump.q = view_of(*q);
  dump.wo = view_of(*wo);
  dump.query_heads = q->extents[2];
  dump.model_dim = wo->extents[1];
  return {};
}

Result<void> read_attention(const SafetensorsView& view, Dump& dump) {
  const SafetensorsTensor* attention = view.find("attn");
  if (attention == nullptr) return {};
  if (attention->extents != Extents{dump.shape.layers.count(), dump.shape.tokens.count()})
    return unfit("attn unlike k");
  dump.attention = view_of(*attention);
  return {};
}

Result<double> number_of(const nlohmann::json& entry, const char* key, double fallback) {
  const auto found = entry.find(key);
  if (found == entry.end() && fallback >= 0) return fallback;
  if (found == entry.end() || !found->is_number()) return Error{ErrorCode::kBadField, 0, key};
  return found->get<double>();
}

}  // namespace

Result<Dump> read_calibration_dump(std::string name, std::span<const std::byte> file) {
  SLUICE_ASSIGN(const KvTensors tensors, read_kv_tensors(file));
  SLUICE_ASSIGN(const SafetensorsView view, parse_safetensors(file));
  Dump dump;
  dump.name = std::move(name);
  dump.shape = tensors.shape;
  dump.rope = tensors.rope;
  dump.first_position = tensors.first_position;
  dump.k = {tensors.shape.dtype, tensors.k};
  dump.v = {tensors.shape.dtype, tensors.v};
  SLUICE_TRY(read_gradients(view, dump));
  SLUICE_TRY(read_projections(view, dump));
  SLUICE_TRY(read_attention(view, dump));
  return dump;
}

Result<std::vector<CurvePoint>> read_kl_curve(std::span<const std::byte> file, codec::Tier tier) {
  const Error wrong{ErrorCode::kBadField, 0, "curve"};
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  const nlohmann::json whole = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!whole.is_object() || !whole.contains("curve") || !whole["curve"].is_array()) return wrong;
  if (whole["curve"].size() > kMostPoints) return wrong;
  std::vector<CurvePoint> points;
  for (const nlohmann::json& entry : whole["curve"]) {
    if (!entry.is_object()) return wrong;
    SLUICE_ASSIGN(const double of_tier, number_of(entry, "tier", static_cast<double>(tier)));
    if (of_tier != static_cast<double>(tier)) continue;
    CurvePoint point;
    SLUICE_ASSIGN(point.step, number_of(entry, "step", -1));
    SLUICE_ASSIGN(point.kl_mean, number_of(entry, "kl_mean", -1));
    SLUICE_ASSIGN(point.kl_p99, number_of(entry, "kl_p99", 0));
    if (!(point.step > 0) || !(point.kl_mean > 0) || !(point.kl_p99 >= 0) || !(point.bits_per_value >= 0)) return wrong;
    SLUICE_ASSIGN(point.bits_per_value, number_of(entry, "bits_per_value", 0));
    SLUICE_ASSIGN(const double stages, number_of(entry, "stages", 1));
    point.is_nested = stages > 1;
    points.push_back(point);
  }
  std::ranges::sort(points, [](const CurvePoint& left, const CurvePoint& right) {
    return std::pair(left.is_nested, left.step) < std::pair(right.is_nested, right.step);
  });
  std::vector<CurvePoint> rising;
  for (const CurvePoint& point : points) {
    const bool is_first = rising.empty() || rising.back().is_nested != point.is_nested;
    if (!is_first && (point.step == rising.back().step || point.kl_mean < rising.back().kl_mean)) return wrong;
    if (is_first || point.kl_mean > rising.back().kl_mean) rising.push_back(point);
  }
  return rising;
}

}  // namespace sluice::integration
