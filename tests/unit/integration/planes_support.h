// What tests of this folder share: planes with known rows, a digest that needs no library, a sink that writes down.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "integration/engine.h"
#include "integration/kv_planes.h"

namespace sluice::integration {

/// FNV-1a: a digest as good as any for telling equal from unequal bytes in a test.
inline std::uint64_t plain_digest(std::span<const std::byte> bytes, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325U ^ seed;
  for (const std::byte byte : bytes) hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3U;
  return hash;
}

/// Planes of random bytes.
inline KvPlanes random_planes(const kernels::KvShape& shape, std::uint32_t seed) {
  KvPlanes planes = KvPlanes::allocate(shape).value();
  std::mt19937 random(seed);
  for (std::uint32_t layer = 0; layer < shape.layers.count(); ++layer) {
    for (std::byte& byte : planes.mutable_k_layer(LayerIndex(layer))) byte = static_cast<std::byte>(random());
    for (std::byte& byte : planes.mutable_v_layer(LayerIndex(layer))) byte = static_cast<std::byte>(random());
  }
  return planes;
}

/// Keeps what prefill announced.
class WritingSink final : public PrefillSink {
 public:
  void on_layers_ready(LayerRange layers, TokenRange tokens) override { ready.emplace_back(layers, tokens); }
  std::vector<std::pair<LayerRange, TokenRange>> ready;
};

}  // namespace sluice::integration
