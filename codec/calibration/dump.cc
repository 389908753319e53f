#include "codec/calibration/dump.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/assert.h"

namespace sluice::codec::calibration {
namespace {

/// Bytes of rows that are contiguous, seen as a plane.
struct Contiguous {
  const std::byte* block = nullptr;
  kernels::PlaneView view;
  Contiguous(std::span<const std::byte> data, const kernels::KvShape& shape) : block(data.data()) {
    view.block_tokens = shape.tokens.count();
    view.token_stride = static_cast<std::ptrdiff_t>(shape.row_bytes().count());
    view.head_stride = static_cast<std::ptrdiff_t>(shape.head_dim.count() * kernels::dtype_size(shape.dtype));
    view.blocks = std::span<const std::byte* const>(&block, 1);
  }
  Contiguous(const Contiguous&) = delete;
  Contiguous& operator=(const Contiguous&) = delete;
};

kernels::KvShape gradient_shape(const Dump& dump, kernels::DType dtype) {
  kernels::KvShape shape = dump.shape;
  shape.tokens = dump.gradient_tokens;
  shape.dtype = dtype;
  return shape;
}

std::string shape_text(const kernels::KvShape& shape) {
  return std::to_string(shape.layers.count()) + " layers x " + std::to_string(shape.kv_heads.count()) + " heads x " +
         std::to_string(shape.head_dim.count()) + " channels";
}

/// One tensor of a dump with the names of its extents, outermost first.
struct Named {
  const char* name;
  const DumpTensor* tensor;
  std::array<std::uint64_t, 5> extents;
  std::array<const char*, 5> labels;
};

std::vector<Named> tensors_of(const Dump& dump) {
  const std::uint64_t layers = dump.shape.layers.count();
  const std::uint64_t tokens = dump.shape.tokens.count();
  const std::uint64_t heads = dump.shape.kv_heads.count();
  const std::uint64_t width = dump.shape.head_dim.count();
  constexpr std::array<const char*, 5> kCache{"row", "layer", "token", "head", "channel"};
  return {{"k", &dump.k, {1, layers, tokens, heads, width}, kCache},
          {"v", &dump.v, {1, layers, tokens, heads, width}, kCache},
          {"gk", &dump.gk, {dump.gradient_rows, layers, dump.gradient_tokens.count(), heads, width}, kCache},
          {"gv", &dump.gv, {dump.gradient_rows, layers, dump.gradient_tokens.count(), heads, width}, kCache},
          {"q", &dump.q, {1, layers, tokens, dump.query_heads, width}, kCache},
          {"wo",
           &dump.wo,
           {1, 1, layers, dump.model_dim, dump.query_heads * width},
           {"row", "row", "layer", "output", "channel"}},
          {"attn", &dump.attention, {1, 1, 1, layers, tokens}, {"row", "row", "row", "layer", "token"}}};
}

std::string place_text(const Named& named, std::uint64_t index) {
  std::string text;
  std::uint64_t stride = 1;
  for (const std::uint64_t extent : named.extents) stride *= extent;
  for (std::size_t axis = 0; axis < named.extents.size(); ++axis) {
    stride /= named.extents[axis];
    const std::uint64_t at = index / stride;
    index %= stride;
    if (named.extents[axis] == 1 && axis < 3) continue;
    if (!text.empty()) text += ", ";
    text += std::string(named.labels[axis]) + " " + std::to_string(at);
  }
  return text;
}

}  // namespace

std::uint64_t Dump::sinks() const {
  const std::uint64_t first = first_position.value();
  return std::min(first < kSinks ? kSinks - first : 0, shape.tokens.count());
}

void DumpReader::read_plane(const DumpTensor& tensor, std::uint64_t plane, const kernels::KvShape& shape,
                            Samples& out) {
  const std::uint64_t bytes = shape.row_bytes().count() * shape.tokens.count();
  const Contiguous rows(tensor.data.subspan(plane * bytes, bytes), shape);
  out.resize(static_cast<Eigen::Index>(shape.tokens.count()), static_cast<Eigen::Index>(shape.row_values()));
  load_columns(PlaneExtent{kernels_, &shape, {0, shape.tokens.count()}}, rows.view,
               std::span(out.data(), static_cast<std::size_t>(out.size())), scratch_);
}

void DumpReader::turn_back(const Dump& dump, LayerIndex layer, const kernels::KvShape& shape, Samples& out) {
  const kernels::RopeSpec rope = kernels::rope_of_layer(dump.rope, layer.value());
  const std::uint64_t tokens = shape.tokens.count();
  const std::uint64_t first = dump.first_position.value();
  if (!(angles_rope_ == rope) || angles_first_ != first || angles_.tokens != tokens) {
    kernels::fill_rope_angles(rope, first, tokens, angles_);
    angles_rope_ = rope;
    angles_first_ = first;
  }
  rotate_columns(PlaneExtent{kernels_, &shape, {0, tokens}}, RopeTurn{&rope, &angles_, -1.0F},
                 std::span(out.data(), static_cast<std::size_t>(out.size())));
}

void DumpReader::read(const Dump& dump, LayerIndex layer, Side side, Samples& out) {
  read_plane(side == Side::kKey ? dump.k : dump.v, layer.value(), dump.shape, out);
  if (side == Side::kKey) turn_back(dump, layer, dump.shape, out);
}

void DumpReader::read_gradient(const Dump& dump, const GradientPlane& plane, Samples& out) {
  const DumpTensor& tensor = plane.side == Side::kKey ? dump.gk : dump.gv;
  const kernels::KvShape shape = gradient_shape(dump, tensor.dtype);
  read_plane(tensor, plane.row * shape.layers.count() + plane.layer.value(), shape, out);
  if (plane.side == Side::kKey) turn_back(dump, plane.layer, shape, out);
}

void DumpReader::read_rows(const DumpTensor& tensor, std::uint64_t first, Samples& out) {
  const kernels::KvShape shape{Layers(1), Tokens(static_cast<std::uint64_t>(out.rows())), Heads(1),
                               HeadDim(static_cast<std::uint64_t>(out.cols())), tensor.dtype};
  const DumpTensor from{tensor.dtype, tensor.data.subspan(first * shape.row_bytes().count())};
  read_plane(from, 0, shape, out);
}

std::string find_shape_fault(std::span<const Dump> dumps) {
  if (dumps.empty()) return "no dump was given";
  const Dump& model = dumps.front();
  bool has_tokens = false;
  for (const Dump& dump : dumps) {
    kernels::KvShape expected = model.shape;
    expected.tokens = dump.shape.tokens;
    expected.dtype = dump.shape.dtype;
    if (!(expected == dump.shape)) {
      return dump.name + " has " + shape_text(dump.shape) + ", but " + model.name + " has " + shape_text(model.shape);
    }
    if (!(dump.rope == model.rope)) return dump.name + " says another rope than " + model.name;
    has_tokens = has_tokens || dump.shape.tokens.count() > dump.sinks() + 1;
  }
  return has_tokens ? "" : "no dump has a token beside the first " + std::to_string(kSinks);
}

std::string find_value_fault(const kernels::KernelTable& kernels, const Dump& dump) {
  constexpr std::uint64_t kStrip = 1U << 16U;
  DumpReader reader(kernels);
  for (const Named& named : tensors_of(dump)) {
    if (!named.tensor->is_there()) continue;
    std::uint64_t values = 1;
    for (const std::uint64_t extent : named.extents) values *= extent;
    Samples strip;
    for (std::uint64_t first = 0; first < values; first += kStrip) {
      strip.resize(static_cast<Eigen::Index>(std::min(kStrip, values - first)), 1);
      reader.read_rows(*named.tensor, first, strip);
      if (strip.allFinite()) continue;
      const float* at =
          std::find_if(strip.data(), strip.data() + strip.size(), [](float x) { return !std::isfinite(x); });
      const std::uint64_t index = first + static_cast<std::uint64_t>(at - strip.data());
      return std::string(std::isnan(*at) ? "NaN" : "infinity") + " in " + named.name + " of " + dump.name + " at " +
             place_text(named, index);
    }
  }
  return "";
}

}  // namespace sluice::codec::calibration
