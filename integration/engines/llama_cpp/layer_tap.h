// Copies new cache rows out of llama.cpp while it computes them. It listens to the graph's SET_ROWS operations on the
// cache tensors (named cache_k_l<N> and cache_v_l<N>): when one has run, the rows of this chunk stand at the cells that
// the operation's index tensor names. Place in the flow: LlamaEngine::prefill.
// Invariants: while disarmed it asks for nothing, so other calls run their graph unsplit; it writes only rows of the
// chunk it was told, and announces a layer when both its K and its V are in the planes.
#pragma once

#include <cstdint>
#include <vector>

#include "integration/engine.h"
#include "integration/kv_planes.h"

struct ggml_tensor;

namespace sluice::integration::llama_cpp {

/// Listener of one context's graph.
/// Threads: the one that computes.
class LayerTap {
 public:
  /// What llama.cpp calls for each node of the graph; `self` is the tap. Signature of its C API.
  static bool on_node(ggml_tensor* node, bool is_question, void* self);

  /// From now on rows of `tokens` go to planes and sink, both of which must outlive the computation.
  void arm(KvPlanes& planes, PrefillSink& sink, TokenRange tokens);
  void disarm() { planes_ = nullptr; }
  /// Whether every layer of the armed chunk was announced.
  bool is_complete() const { return announced_ == seen_.size(); }

 private:
  bool copy_rows(const ggml_tensor& node);

  KvPlanes* planes_ = nullptr;
  PrefillSink* sink_ = nullptr;
  TokenRange tokens_;
  std::vector<std::uint8_t> seen_;  // per layer: bit 0 K, bit 1 V
  std::size_t announced_ = 0;
};

}  // namespace sluice::integration::llama_cpp
