#include "integration/cost_probe.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "codec/frame.h"
#include "integration/codec_rates.h"
#include "scheduler/cost.h"

namespace sluice::integration {
namespace {

constexpr std::size_t kRounds = 3;

/// Half-precision-like noise of moderate size: exponents as real rows have them, no NaN in any type.
void fill(KvPlanes& planes) {
  std::minstd_rand random(7);
  const std::size_t size = kernels::dtype_size(planes.shape().dtype);
  const auto fill_layer = [&](std::span<std::byte> bytes) {
    for (std::size_t place = 0; place < bytes.size(); ++place) {
      const bool top = place % size == size - 1;
      const std::uint32_t noise = static_cast<std::uint32_t>(random());
      bytes[place] = static_cast<std::byte>(top ? 0x38U + (noise >> 8U) % 8U : (noise >> 8U) & 0xffU);
    }
  };
  for (std::uint32_t layer = 0; layer < planes.shape().layers.count(); ++layer) {
    fill_layer(planes.mutable_k_layer(LayerIndex(layer)));
    fill_layer(planes.mutable_v_layer(LayerIndex(layer)));
  }
}

class NoSink final : public PrefillSink {
 public:
  void on_layers_ready(LayerRange, TokenRange) override {}
};

}  // namespace

EngineCosts measure_engine(Engine& engine, const Clock& clock) {
  constexpr std::int32_t kProbeTokens = 64;
  std::vector<TokenId> tokens;
  for (std::int32_t token = 0; token < kProbeTokens; ++token) tokens.emplace_back(100 + token);
  kernels::KvShape shape = engine.description().shape;
  shape.tokens = Tokens(kProbeTokens);
  Result<KvPlanes> planes = KvPlanes::allocate(shape);
  EngineCosts costs;
  if (!planes) return costs;
  NoSink sink;
  const Instant start = clock.now();
  if (!engine.prefill(tokens, *planes, sink, std::stop_token())) return costs;
  const Instant prefilled = clock.now();
  if (!engine.restore(tokens, *planes)) return costs;
  const Instant injected = clock.now();
  if (!engine.generate(tokens.back(), {.count = Tokens(1), .forced = {}, .keep_logits = false})) return costs;
  costs.prefill_per_token = (prefilled - start) / kProbeTokens;
  costs.inject_per_token = (injected - prefilled) / kProbeTokens;
  costs.first_token = clock.now() - injected;
  return costs;
}

scheduler::QualityCurve stated_curve(std::span<const codec::StageQuality> stages) {
  scheduler::QualityCurve curve;
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    const double kl = static_cast<double>(stages[stage].kl_mean);
    if (!(kl > 0)) continue;
    curve.points[codec::kStageParts[stage]] = PartsPerMillion(static_cast<std::uint64_t>(1e6 * std::exp(-kl)));
  }
  return curve;
}

Result<scheduler::PartTable<BitsPerSecond>> measure_decode(UnitCoder& coder, const ModelDescription& model,
                                                           std::uint32_t group_layers, const Clock& clock) {
  kernels::KvShape shape = model.shape;
  shape.tokens = std::min(model.chunk_tokens, shape.tokens);
  shape.layers = std::min(Layers(group_layers), shape.layers);
  SLUICE_ASSIGN(const Geometry geometry, Geometry::make(shape, model.rope, {shape.tokens, shape.layers}));
  SLUICE_ASSIGN(KvPlanes planes, KvPlanes::allocate(shape));
  fill(planes);
  SLUICE_ASSIGN(const std::vector<CodecRate> levels, measure_codec(coder, planes, geometry, {kRounds, &clock}));
  scheduler::PartTable<BitsPerSecond> rates = scheduler::DecodeCosts::default_rates();
  for (const CodecRate& level : levels) {
    rates[level.part] = rate_of(level.raw, std::max(level.decode.median, Duration(1)));
  }
  return rates;
}

}  // namespace sluice::integration
