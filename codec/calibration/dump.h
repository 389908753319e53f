// What calibration learns from: the KV cache of some texts, and what is known about how errors in it hurt. Place in the
// flow: integration reads files into these views, calibrate() reads them layer by layer. K is as the engine caches it
// (RoPE applied), and gradients are with respect to K and V as cached: both are turned back here, by the same angles.
// Invariant: views only; nothing is copied before the layer that needs it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/identity.h"
#include "codec/calibration/matrix.h"
#include "codec/plane_columns.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::codec::calibration {

/// First tokens of a request: they receive far more attention and larger values than any others, are sent raw, and
/// teach nothing. Positions below this are left out.
inline constexpr std::uint64_t kSinks = 4;

/// A plain tensor, row-major, whose extents its owner knows.
struct DumpTensor {
  kernels::DType dtype = kernels::DType::kF32;
  std::span<const std::byte> data;
  bool is_there() const { return !data.empty(); }
};

/// One text.
/// Ownership: views.
struct Dump {
  std::string name;           ///< for messages
  kernels::KvShape shape;     ///< of k and v
  kernels::RopeSpec rope;     ///< how K was rotated
  TokenIndex first_position;  ///< of token 0
  DumpTensor k;               ///< [layers][tokens][kv_heads][head_dim]
  DumpTensor v;
  DumpTensor gk;  ///< [rows][layers][gradient_tokens][kv_heads][head_dim], or absent like all that follows
  DumpTensor gv;
  std::uint64_t gradient_rows = 0;
  Tokens gradient_tokens;              ///< at most shape.tokens: the leading ones
  std::uint64_t gradient_targets = 0;  ///< tokens whose log p a row sums up; 0: not told
  DumpTensor q;                        ///< [layers][tokens][query_heads][head_dim]
  DumpTensor wo;                       ///< [layers][model_dim][query_heads * head_dim]
  std::uint64_t query_heads = 0;
  std::uint64_t model_dim = 0;
  DumpTensor attention;  ///< [layers][tokens]: how much later queries looked at a token

  /// Tokens before this index are sinks.
  std::uint64_t sinks() const;
  bool has_gradients() const { return gk.is_there() && gv.is_there(); }
};

/// K or V.
enum class Side : std::uint8_t { kKey = 0, kValue = 1 };

/// Which plane of a dump's gradients.
struct GradientPlane {
  std::uint64_t row = 0;  ///< in [0, gradient_rows)
  LayerIndex layer;
  Side side = Side::kKey;
};

/// Reads planes of dumps as samples. Keeps the angles of the last text.
/// Threads: one call at a time.
class DumpReader {
 public:
  explicit DumpReader(const kernels::KernelTable& kernels) : kernels_(&kernels) {}

  /// K without RoPE, or V, of one layer: [tokens][kv_heads * head_dim].
  void read(const Dump& dump, LayerIndex layer, Side side, Samples& out);
  /// One row of gradients with respect to what read() gives: [gradient_tokens][kv_heads * head_dim].
  void read_gradient(const Dump& dump, const GradientPlane& plane, Samples& out);
  /// Any tensor's `rows` rows of `width` from row `first` on, widened: [rows][width].
  void read_rows(const DumpTensor& tensor, std::uint64_t first, Samples& out);

 private:
  void read_plane(const DumpTensor& tensor, std::uint64_t plane, const kernels::KvShape& shape, Samples& out);
  void turn_back(const Dump& dump, LayerIndex layer, const kernels::KvShape& shape, Samples& out);

  const kernels::KernelTable* kernels_;
  StripScratch scratch_;
  kernels::RopeAngles angles_;
  kernels::RopeSpec angles_rope_;
  std::uint64_t angles_first_ = 0;
};

/// Why dumps cannot be used, in one line for a person; empty when they can. Looks at shapes only.
std::string find_shape_fault(std::span<const Dump> dumps);

/// The first NaN or infinity of a tensor [..][kv_heads][head_dim], told as "NaN in gk of FILE at row 0, layer 3, token
/// 17, head 1, channel 5"; empty when all are finite.
std::string find_value_fault(const kernels::KernelTable& kernels, const Dump& dump);

}  // namespace sluice::codec::calibration
