// A small deterministic engine for tests of transfers: a KV row is a hash of the prompt up to its position, of its
// layer and of its side, so that anybody can say what every byte must be. Tokens come from a digest of all rows in the
// cache: one wrong bit in one row gives other tokens. No weights, no floating-point computing, no real time of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "integration/engine.h"

namespace sluice::support {

struct SyntheticEngineOptions {
  Layers layers{6};
  Heads kv_heads{2};
  HeadDim head_dim{64};
  Tokens context_tokens{8192};
  Tokens chunk_tokens{64};
  /// Part of every row: engines with different seeds run different models.
  std::uint64_t model_seed = 1;
  /// How long prefill takes for one chunk of one layer; `pass_time` is asked to let it pass. Without `pass_time` all
  /// takes no time: unit tests never sleep.
  Duration layer_chunk_time{0};
  std::function<void(Duration)> pass_time;
};

/// Threads: as Engine: one call at a time, from any thread.
class SyntheticEngine final : public integration::Engine {
 public:
  explicit SyntheticEngine(SyntheticEngineOptions options);

  const integration::ModelDescription& description() const override { return description_; }
  /// One token per byte of the text.
  Result<std::vector<TokenId>> tokenize(std::string_view text) override;
  std::string detokenize(std::span<const TokenId> tokens) override;
  Result<void> prefill(std::span<const TokenId> tokens, integration::KvPlanes& planes, integration::PrefillSink& sink,
                       std::stop_token stop) override;
  Result<void> restore(std::span<const TokenId> tokens, const integration::KvPlanes& planes) override;
  Result<void> recompute(std::span<const TokenId> tokens, std::stop_token stop) override;
  Result<integration::Generation> generate(TokenId last, const integration::GenerateOptions& options) override;

  /// Rows of the last restore() that are not what prefill makes of the same tokens: K and V of a layer and token count
  /// as one each.
  std::uint64_t wrong_rows() const { return wrong_rows_; }

 private:
  Result<void> check_length(std::span<const TokenId> tokens) const;
  void pass(Duration span) const;
  void fill_row(std::uint64_t history, std::uint64_t plane, std::span<std::byte> row) const;

  SyntheticEngineOptions options_;
  integration::ModelDescription description_;
  std::optional<std::uint64_t> cache_digest_;  // of all rows, in order; empty = no cache
  std::uint64_t wrong_rows_ = 0;
};

}  // namespace sluice::support
