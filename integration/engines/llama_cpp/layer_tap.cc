#include "integration/engines/llama_cpp/layer_tap.h"

#include <ggml.h>

#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

namespace sluice::integration::llama_cpp {
namespace {

constexpr std::uint8_t kHasK = 1;
constexpr std::uint8_t kHasV = 2;

struct CacheTensor {
  std::uint8_t side = kHasK;
  std::uint32_t layer = 0;
};

/// Side and layer out of a name such as "cache_k_l12 (view)"; nothing for every other tensor.
std::optional<CacheTensor> parse_name(std::string_view name) {
  CacheTensor found;
  if (name.starts_with("cache_v_l")) {
    found.side = kHasV;
  } else if (!name.starts_with("cache_k_l")) {
    return std::nullopt;
  }
  name.remove_prefix(9);
  const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), found.layer);
  if (fault != std::errc() || end == name.data()) return std::nullopt;
  return found;
}

}  // namespace

bool LayerTap::on_node(ggml_tensor* node, bool is_question, void* self) {
  LayerTap& tap = *static_cast<LayerTap*>(self);
  if (is_question) {
    return tap.planes_ != nullptr && node->op == GGML_OP_SET_ROWS && parse_name(node->name).has_value();
  }
  return tap.copy_rows(*node);
}

void LayerTap::arm(KvPlanes& planes, PrefillSink& sink, TokenRange tokens) {
  planes_ = &planes;
  sink_ = &sink;
  tokens_ = tokens;
  seen_.assign(static_cast<std::size_t>(planes.shape().layers.count()), 0);
  announced_ = 0;
}

/// False stops the computation: the cache is not of the form that the engine believes in.
bool LayerTap::copy_rows(const ggml_tensor& node) {
  const std::optional<CacheTensor> tensor = parse_name(node.name);
  const ggml_tensor* cells = node.src[1];
  const auto row = static_cast<std::size_t>(planes_->shape().row_bytes().count());
  const bool is_expected = tensor && tensor->layer < seen_.size() && cells != nullptr && cells->type == GGML_TYPE_I64 &&
                           static_cast<std::uint64_t>(cells->ne[0]) == tokens_.count.count() &&
                           ggml_row_size(node.type, node.ne[0]) == row && (seen_[tensor->layer] & tensor->side) == 0;
  if (!is_expected) return false;

  const LayerIndex layer(tensor->layer);
  std::byte* target =
      tensor->side == kHasK ? planes_->mutable_k_layer(layer).data() : planes_->mutable_v_layer(layer).data();
  target += row * tokens_.first.value();
  const auto* start = static_cast<const std::byte*>(node.data);
  const auto* index = static_cast<const std::int64_t*>(cells->data);
  for (std::uint64_t i = 0; i < tokens_.count.count(); ++i) {
    if (index[i] < 0 || index[i] >= node.ne[1]) return false;
    std::memcpy(target + row * i, start + node.nb[1] * static_cast<std::size_t>(index[i]), row);
  }

  seen_[layer.value()] = static_cast<std::uint8_t>(seen_[layer.value()] | tensor->side);
  if (seen_[layer.value()] == (kHasK | kHasV)) {
    ++announced_;
    sink_->on_layers_ready({layer, Layers(1)}, tokens_);
  }
  return true;
}

}  // namespace sluice::integration::llama_cpp
