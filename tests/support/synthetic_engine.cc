#include "tests/support/synthetic_engine.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/random.h"

namespace sluice::support {
namespace {

using integration::KvPlanes;
using integration::LayerRange;
using integration::TokenRange;

/// Every input bit reaches every output bit.
constexpr std::uint64_t mix(std::uint64_t value) { return Random(value).next(); }

constexpr std::uint64_t join(std::uint64_t left, std::uint64_t right) { return mix(left ^ mix(right)); }

std::uint64_t extend(std::uint64_t history, TokenId token) {
  return join(history, static_cast<std::uint32_t>(token.value()));
}

std::uint64_t absorb(std::uint64_t digest, std::span<const std::byte> row) {
  std::uint64_t word = 0;
  for (std::size_t at = 0; at < row.size(); at += sizeof(word)) {
    std::memcpy(&word, row.data() + at, std::min(sizeof(word), row.size() - at));
    digest = join(digest, word);
  }
  return digest;
}

}  // namespace

SyntheticEngine::SyntheticEngine(SyntheticEngineOptions options) : options_(std::move(options)) {
  SLUICE_ASSERT(options_.chunk_tokens.count() > 0);
  description_.name = "synthetic engine (tests only)";
  description_.model = ContentHash(mix(options_.model_seed));
  description_.engine_build = ContentHash(mix(0x5E));
  description_.shape = {options_.layers, options_.context_tokens, options_.kv_heads, options_.head_dim,
                        kernels::DType::kF16};
  description_.rope = {kernels::RopeStyle::kPairs, static_cast<std::uint32_t>(options_.head_dim.count()), 10000.0};
  description_.chunk_tokens = options_.chunk_tokens;
  description_.vocabulary = 1U << 16U;
}

Result<std::vector<TokenId>> SyntheticEngine::tokenize(std::string_view text) {
  std::vector<TokenId> tokens;
  tokens.reserve(text.size());
  for (const char letter : text) tokens.emplace_back(static_cast<unsigned char>(letter));
  SLUICE_TRY(check_length(tokens));
  return tokens;
}

std::string SyntheticEngine::detokenize(std::span<const TokenId> tokens) {
  std::string text;
  for (const TokenId token : tokens) {
    if (token.value() >= 0 && token.value() < 256) text.push_back(static_cast<char>(token.value()));
  }
  return text;
}

Result<void> SyntheticEngine::check_length(std::span<const TokenId> tokens) const {
  if (tokens.empty()) return Error{ErrorCode::kInvalidArgument, 0, "synthetic engine: no tokens"};
  if (tokens.size() > description_.shape.tokens.count()) return Error{ErrorCode::kPromptTooLong, 0, "synthetic engine"};
  return {};
}

void SyntheticEngine::pass(Duration span) const {
  if (options_.pass_time && span.count() > 0) options_.pass_time(span);
}

// Values are finite halves with random mantissas, of a size as a cache has them: 2^-3 to 4, either sign.
void SyntheticEngine::fill_row(std::uint64_t history, std::uint64_t plane, std::span<std::byte> row) const {
  std::uint64_t state = join(join(history, plane), options_.model_seed);
  for (std::size_t at = 0; at + 1 < row.size(); at += 2) {
    state = mix(state);
    const std::uint64_t exponent = 12 + ((state >> 16U) % 5U);
    const auto half = static_cast<std::uint16_t>((state & 0x83FFU) | (exponent << 10U));
    std::memcpy(row.data() + at, &half, sizeof(half));
  }
}

Result<void> SyntheticEngine::prefill(std::span<const TokenId> tokens, KvPlanes& planes, integration::PrefillSink& sink,
                                      std::stop_token stop) {
  SLUICE_TRY(check_length(tokens));
  cache_digest_.reset();
  kernels::KvShape expected = description_.shape;
  expected.tokens = planes.shape().tokens;
  if (planes.shape() != expected || planes.shape().tokens.count() < tokens.size()) {
    return Error{ErrorCode::kInvalidArgument, 0, "synthetic engine: planes of another shape"};
  }
  const std::size_t row_bytes = expected.row_bytes().count();
  std::uint64_t before = 0;
  for (std::size_t first = 0; first < tokens.size(); first += options_.chunk_tokens.count()) {
    if (stop.stop_requested()) return Error{ErrorCode::kAborted, 0, "synthetic engine"};
    const std::size_t count = std::min<std::size_t>(options_.chunk_tokens.count(), tokens.size() - first);
    std::uint64_t history = before;
    for (std::uint64_t layer = 0; layer < options_.layers.count(); ++layer) {
      pass(options_.layer_chunk_time);
      const LayerIndex index(static_cast<std::uint32_t>(layer));
      history = before;
      for (std::size_t token = first; token < first + count; ++token) {
        history = extend(history, tokens[token]);
        fill_row(history, 2 * layer, planes.mutable_k_layer(index).subspan(token * row_bytes, row_bytes));
        fill_row(history, 2 * layer + 1, planes.mutable_v_layer(index).subspan(token * row_bytes, row_bytes));
      }
      sink.on_layers_ready(LayerRange{index, Layers(1)}, TokenRange{TokenIndex(first), Tokens(count)});
    }
    before = history;
  }
  return restore(tokens, planes);
}

// The digest of a cache is that of its rows: layer by layer, K before V, token by token.
Result<void> SyntheticEngine::restore(std::span<const TokenId> tokens, const KvPlanes& planes) {
  SLUICE_TRY(check_length(tokens));
  cache_digest_.reset();
  kernels::KvShape expected = description_.shape;
  expected.tokens = planes.shape().tokens;
  if (planes.shape() != expected || planes.shape().tokens.count() < tokens.size()) {
    return Error{ErrorCode::kIncompatibleLayout, 0, "synthetic engine"};
  }
  const std::size_t row_bytes = expected.row_bytes().count();
  std::vector<std::byte> right(row_bytes);
  std::uint64_t digest = options_.model_seed;
  wrong_rows_ = 0;
  for (std::uint64_t plane = 0; plane < 2 * options_.layers.count(); ++plane) {
    const LayerIndex layer(static_cast<std::uint32_t>(plane / 2));
    const auto rows = plane % 2 == 0 ? planes.k_layer(layer) : planes.v_layer(layer);
    std::uint64_t history = 0;
    for (std::size_t token = 0; token < tokens.size(); ++token) {
      history = extend(history, tokens[token]);
      fill_row(history, plane, right);
      const auto row = rows.subspan(token * row_bytes, row_bytes);
      if (!std::equal(row.begin(), row.end(), right.begin())) ++wrong_rows_;
      digest = absorb(digest, row);
    }
  }
  cache_digest_ = digest;
  return {};
}

Result<void> SyntheticEngine::recompute(std::span<const TokenId> tokens, std::stop_token stop) {
  SLUICE_TRY(check_length(tokens));
  cache_digest_.reset();
  const std::uint64_t chunk = options_.chunk_tokens.count();
  for (std::size_t first = 0; first < tokens.size(); first += chunk) {
    if (stop.stop_requested()) return Error{ErrorCode::kAborted, 0, "synthetic engine"};
    pass(options_.layer_chunk_time * static_cast<std::int64_t>(options_.layers.count()));
  }
  std::vector<std::byte> row(description_.shape.row_bytes().count());
  std::uint64_t digest = options_.model_seed;
  for (std::uint64_t plane = 0; plane < 2 * options_.layers.count(); ++plane) {
    std::uint64_t history = 0;
    for (const TokenId token : tokens) {
      history = extend(history, token);
      fill_row(history, plane, row);
      digest = absorb(digest, row);
    }
  }
  wrong_rows_ = 0;
  cache_digest_ = digest;
  return {};
}

Result<integration::Generation> SyntheticEngine::generate(TokenId last, const integration::GenerateOptions& options) {
  const std::uint64_t count = options.count.count();
  if (count == 0 || !cache_digest_) return Error{ErrorCode::kInvalidArgument, 0, "synthetic engine: nothing to do"};
  if (!options.forced.empty() && options.forced.size() < count) {
    return Error{ErrorCode::kInvalidArgument, 0, "synthetic engine: forced tokens"};
  }
  integration::Generation made;
  std::uint64_t state = extend(*cache_digest_, last);
  for (std::uint64_t step = 0; step < count; ++step) {
    const TokenId choice(static_cast<std::int32_t>(state % description_.vocabulary));
    made.tokens.push_back(choice);
    state = extend(state, options.forced.empty() ? choice : options.forced[step]);
  }
  made.logits_hash = ContentHash(state);
  made.time_to_first_token = options_.layer_chunk_time;
  made.total_time = options_.layer_chunk_time * static_cast<std::int64_t>(count);
  pass(made.total_time);
  cache_digest_ = state;
  return made;
}

}  // namespace sluice::support
