// The seam to an inference engine: what a node needs from one, and nothing else. The prefill side computes KV and says
// so layer by layer; the decode side takes KV back in one atomic step (or recomputes it) and generates.
// Convention: KV is exchanged for tokens [0, n - 1) of a prompt of n; the decode side computes the last token itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/kv_planes.h"
#include "kernels/shape.h"

namespace sluice::integration {

/// What an engine runs. Peers compare it field by field in their handshake: unequal builds give other last bits.
struct ModelDescription {
  std::string name;          ///< for people, for instance "SmolLM2 135M Instruct"; a recorded engine says so in it
  ContentHash model;         ///< of the weights' file
  ContentHash engine_build;  ///< of the engine's library, its version and whatever else decides its last bits
  kernels::KvShape shape;    ///< of a full context: shape.tokens is the context limit
  kernels::RopeSpec rope;    ///< how K of this model is rotated in its cache
  Tokens chunk_tokens;       ///< how prefill splits a prompt; also the chunk of a request
  std::uint32_t vocabulary = 0;
};

/// Hears of rows as prefill makes them.
class PrefillSink {
 public:
  virtual ~PrefillSink() = default;

  /// These rows are in the planes and will not change. Ranges of one prefill are disjoint and cover it; within a chunk
  /// layers come in rising order.  Must not block.
  /// Threads: the thread that runs prefill.
  virtual void on_layers_ready(LayerRange layers, TokenRange tokens) = 0;
};

/// How generate() goes on after the last prompt token.
struct GenerateOptions {
  Tokens count;                     ///< how many tokens to make; at least 1
  std::span<const TokenId> forced;  ///< when not empty: these are taken instead of the greedy choice (teacher forcing);
                                    ///< count tokens long at least
  bool keep_logits = false;         ///< keep the logits of every step (vocabulary floats each)
};

/// What came of it.
struct Generation {
  std::vector<TokenId> tokens;      ///< greedy choices; with forced tokens still the greedy choice of every step
  Duration time_to_first_token{0};  ///< from the call to the first choice
  Duration total_time{0};
  std::vector<float> logits;  ///< [tokens][vocabulary], if they were asked for
  ContentHash logits_hash;    ///< of all steps' logits, always
  /// The engine could not compute (recorded engine with KV that is not bit-equal): tokens are the recorded ones, there
  /// are no logits and logits_hash is zero.
  bool approximate = false;
};

/// One loaded model with one sequence's cache.
/// Threads: one call at a time, from any thread; every call but description() may block for long, so use a worker.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual const ModelDescription& description() const = 0;

  /// Errors:  kUnsupported where the engine has no tokenizer, kPromptTooLong.
  virtual Result<std::vector<TokenId>> tokenize(std::string_view text) = 0;
  /// Unknown ids become nothing.
  virtual std::string detokenize(std::span<const TokenId> tokens) = 0;

  /// Computes KV of `tokens` as positions [0, tokens.size()), copies the rows into `planes` (which may be longer) and
  /// tells `sink` as they become ready, while the rest is still being computed. The engine's own cache then holds them
  /// too. Splits into chunk_tokens pieces; `stop` is looked at before each.
  /// Errors:  kInvalidArgument (no tokens, planes of another shape), kPromptTooLong, kAborted (stopped), kEngineFailed.
  virtual Result<void> prefill(std::span<const TokenId> tokens, KvPlanes& planes, PrefillSink& sink,
                               std::stop_token stop) = 0;

  /// Makes the first tokens.size() rows of `planes` the engine's cache, in one step and without computing. On an error
  /// the engine has an empty cache, never a part of it.
  /// Errors:  kInvalidArgument, kPromptTooLong, kIncompatibleLayout, kEngineFailed.
  virtual Result<void> restore(std::span<const TokenId> tokens, const KvPlanes& planes) = 0;

  /// Computes KV of `tokens` into the engine's own cache, split as prefill splits: the same bits.
  /// Errors:  as prefill.
  virtual Result<void> recompute(std::span<const TokenId> tokens, std::stop_token stop) = 0;

  /// Feeds the last prompt token after what restore(), recompute() or prefill() left, then decodes greedily. The cache
  /// goes on growing, so a second generate() continues.
  /// Errors:  kInvalidArgument (count is zero, forced too short, nothing restored), kPromptTooLong, kEngineFailed.
  virtual Result<Generation> generate(TokenId last, const GenerateOptions& options) = 0;
};

}  // namespace sluice::integration
