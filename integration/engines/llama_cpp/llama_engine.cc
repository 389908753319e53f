#include "integration/engines/llama_cpp/llama_engine.h"

#include <llama.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "integration/engines/llama_cpp/layer_tap.h"
#include "integration/engines/llama_cpp/model_facts.h"
#include "integration/engines/llama_cpp/state_blob.h"

namespace sluice::integration::llama_cpp {
namespace {

constexpr llama_seq_id kSequence = 0;

struct ModelDeleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct ContextDeleter {
  void operator()(llama_context* context) const { llama_free(context); }
};
using ModelHandle = std::unique_ptr<llama_model, ModelDeleter>;
using ContextHandle = std::unique_ptr<llama_context, ContextDeleter>;

void drop_log(ggml_log_level, const char*, void*) {}

/// The columns of one llama_batch for one sequence.
class Batch {
 public:
  explicit Batch(std::size_t most) : tokens_(most), positions_(most), counts_(most, 1), flags_(most) {
    sequences_.assign(most, &sequence_);
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  /// Logits are asked for the last token only, if at all.  Precondition: at most `most` tokens.
  llama_batch fill(std::span<const TokenId> tokens, std::uint64_t first_position, bool wants_logits) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens_[i] = tokens[i].value();
      positions_[i] = static_cast<llama_pos>(first_position + i);
      flags_[i] = static_cast<std::int8_t>(wants_logits && i + 1 == tokens.size());
    }
    return {static_cast<std::int32_t>(tokens.size()),
            tokens_.data(),
            nullptr,
            positions_.data(),
            counts_.data(),
            sequences_.data(),
            flags_.data()};
  }

 private:
  llama_seq_id sequence_ = kSequence;
  std::vector<llama_token> tokens_;
  std::vector<llama_pos> positions_;
  std::vector<std::int32_t> counts_;
  std::vector<llama_seq_id*> sequences_;
  std::vector<std::int8_t> flags_;
};

class LlamaEngine final : public Engine {
 public:
  LlamaEngine(ModelHandle model, ModelDescription description, kernels::DigestFn& digest, const Clock& clock)
      : model_(std::move(model)),
        description_(std::move(description)),
        digest_(digest),
        clock_(clock),
        batch_(static_cast<std::size_t>(description_.chunk_tokens.count())) {}

  /// Second half of open_llama_engine: the context calls back into this object, so it must stand first.
  Result<void> make_context(std::uint32_t threads);

  const ModelDescription& description() const override { return description_; }
  Result<std::vector<TokenId>> tokenize(std::string_view text) override;
  std::string detokenize(std::span<const TokenId> tokens) override;
  Result<void> prefill(std::span<const TokenId> tokens, KvPlanes& planes, PrefillSink& sink,
                       std::stop_token stop) override;
  Result<void> restore(std::span<const TokenId> tokens, const KvPlanes& planes) override;
  Result<void> recompute(std::span<const TokenId> tokens, std::stop_token stop) override;
  Result<Generation> generate(TokenId last, const GenerateOptions& options) override;

 private:
  struct Emission {
    KvPlanes& planes;
    PrefillSink& sink;
  };

  static bool should_abort(void* self) { return static_cast<LlamaEngine*>(self)->stop_.stop_requested(); }
  Result<void> check_prompt(std::span<const TokenId> tokens) const;
  Result<void> compute(std::span<const TokenId> tokens, Emission* emission, std::stop_token stop);
  Result<void> compute_chunks(std::span<const TokenId> tokens, Emission* emission);
  Result<void> feed(std::span<const TokenId> tokens, bool wants_logits);
  Result<std::span<const float>> step(TokenId token);
  void forget();

  ModelHandle model_;
  ModelDescription description_;
  kernels::DigestFn& digest_;
  const Clock& clock_;
  Batch batch_;
  LayerTap tap_;
  std::stop_token stop_;
  std::vector<std::byte> blob_;  // kept between restores: its pages are the cost of the first one
  std::uint64_t cached_ = 0;     // tokens in the cache, at positions [0, cached_)
  ContextHandle context_;        // last: goes first, since it calls back into the members above
};

Result<void> LlamaEngine::make_context(std::uint32_t threads) {
  llama_context_params parameters = llama_context_default_params();
  parameters.n_ctx = static_cast<std::uint32_t>(description_.shape.tokens.count());
  parameters.n_batch = static_cast<std::uint32_t>(description_.chunk_tokens.count());
  parameters.n_ubatch = parameters.n_batch;
  parameters.n_seq_max = 2;  // with 1, copies between sequences silently come to nothing
  parameters.kv_unified = true;
  parameters.n_threads = static_cast<std::int32_t>(threads);
  parameters.n_threads_batch = parameters.n_threads;
  parameters.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  parameters.type_k = GGML_TYPE_F16;
  parameters.type_v = GGML_TYPE_F16;
  parameters.cb_eval = &LayerTap::on_node;
  parameters.cb_eval_user_data = &tap_;
  parameters.abort_callback = &LlamaEngine::should_abort;
  parameters.abort_callback_data = this;
  parameters.no_perf = true;
  context_.reset(llama_init_from_model(model_.get(), parameters));
  if (!context_) return Error{ErrorCode::kEngineFailed, 0, "llama.cpp context"};
  return {};
}

Result<std::vector<TokenId>> LlamaEngine::tokenize(std::string_view text) {
  if (text.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    return Error{ErrorCode::kPromptTooLong, 0, "text"};
  }
  const llama_vocab* vocabulary = llama_model_get_vocab(model_.get());
  std::vector<llama_token> raw(text.size() + 8);
  const std::int32_t count =
      llama_tokenize(vocabulary, text.data(), static_cast<std::int32_t>(text.size()), raw.data(),
                     static_cast<std::int32_t>(raw.size()), /*add_special=*/true, /*parse_special=*/true);
  if (count < 0) return Error{ErrorCode::kEngineFailed, count, "tokenize"};
  if (static_cast<std::uint64_t>(count) > description_.shape.tokens.count()) {
    return Error{ErrorCode::kPromptTooLong, 0, "tokenize"};
  }
  std::vector<TokenId> tokens;
  tokens.reserve(static_cast<std::size_t>(count));
  for (std::int32_t i = 0; i < count; ++i) tokens.emplace_back(raw[static_cast<std::size_t>(i)]);
  return tokens;
}

std::string LlamaEngine::detokenize(std::span<const TokenId> tokens) {
  const llama_vocab* vocabulary = llama_model_get_vocab(model_.get());
  std::string text;
  std::array<char, 256> piece;
  for (const TokenId token : tokens) {
    if (token.value() < 0 || static_cast<std::uint32_t>(token.value()) >= description_.vocabulary) continue;
    const std::int32_t size =
        llama_token_to_piece(vocabulary, token.value(), piece.data(), piece.size(), 0, /*special=*/true);
    if (size > 0) text.append(piece.data(), static_cast<std::size_t>(size));
  }
  return text;
}

Result<void> LlamaEngine::check_prompt(std::span<const TokenId> tokens) const {
  if (tokens.empty()) return Error{ErrorCode::kInvalidArgument, 0, "prompt without tokens"};
  if (tokens.size() > description_.shape.tokens.count()) return Error{ErrorCode::kPromptTooLong, 0, "prompt"};
  for (const TokenId token : tokens) {
    if (token.value() < 0 || static_cast<std::uint32_t>(token.value()) >= description_.vocabulary) {
      return Error{ErrorCode::kInvalidArgument, token.value(), "token outside the vocabulary"};
    }
  }
  return {};
}

void LlamaEngine::forget() {
  llama_memory_clear(llama_get_memory(context_.get()), /*data=*/false);
  cached_ = 0;
}

Result<void> LlamaEngine::feed(std::span<const TokenId> tokens, bool wants_logits) {
  int outcome = 0;
  try {
    outcome = llama_decode(context_.get(), batch_.fill(tokens, cached_, wants_logits));
    llama_synchronize(context_.get());
  } catch (...) {
    outcome = std::numeric_limits<int>::min();
  }
  if (stop_.stop_requested() && outcome != 0) return Error{ErrorCode::kAborted, 0, "llama.cpp decode"};
  if (outcome != 0) return Error{ErrorCode::kEngineFailed, outcome, "llama.cpp decode"};
  cached_ += tokens.size();
  return {};
}

Result<void> LlamaEngine::compute_chunks(std::span<const TokenId> tokens, Emission* emission) {
  while (!tokens.empty()) {
    if (stop_.stop_requested()) return Error{ErrorCode::kAborted, 0, "prefill"};
    const std::size_t count = std::min(tokens.size(), static_cast<std::size_t>(description_.chunk_tokens.count()));
    if (emission) tap_.arm(emission->planes, emission->sink, {TokenIndex(cached_), Tokens(count)});
    SLUICE_TRY(feed(tokens.first(count), /*wants_logits=*/false));
    if (emission && !tap_.is_complete()) return Error{ErrorCode::kEngineFailed, 0, "llama.cpp layer tap"};
    tokens = tokens.subspan(count);
  }
  return {};
}

Result<void> LlamaEngine::compute(std::span<const TokenId> tokens, Emission* emission, std::stop_token stop) {
  SLUICE_TRY(check_prompt(tokens));
  forget();
  stop_ = std::move(stop);
  const Result<void> outcome = compute_chunks(tokens, emission);
  tap_.disarm();
  stop_ = std::stop_token();
  if (!outcome) forget();
  return outcome;
}

Result<void> LlamaEngine::prefill(std::span<const TokenId> tokens, KvPlanes& planes, PrefillSink& sink,
                                  std::stop_token stop) {
  kernels::KvShape shape = planes.shape();
  shape.tokens = description_.shape.tokens;
  if (shape != description_.shape || planes.shape().tokens.count() < tokens.size()) {
    return Error{ErrorCode::kInvalidArgument, 0, "planes of another shape"};
  }
  Emission emission{planes, sink};
  return compute(tokens, &emission, std::move(stop));
}

Result<void> LlamaEngine::recompute(std::span<const TokenId> tokens, std::stop_token stop) {
  return compute(tokens, nullptr, std::move(stop));
}

Result<void> LlamaEngine::restore(std::span<const TokenId> tokens, const KvPlanes& planes) {
  SLUICE_TRY(check_prompt(tokens));
  kernels::KvShape shape = planes.shape();
  shape.tokens = description_.shape.tokens;
  if (shape != description_.shape) return Error{ErrorCode::kIncompatibleLayout, 0, "planes of another shape"};
  shape.tokens = Tokens(tokens.size());
  if (planes.shape().tokens < shape.tokens) return Error{ErrorCode::kInvalidArgument, 0, "planes too short"};
  const auto size = static_cast<std::size_t>(state_blob_size(shape).count());
  if (blob_.size() < size) blob_.resize(size);
  const std::span<std::byte> blob = std::span(blob_).first(size);
  SLUICE_TRY(write_state_blob(planes, shape.tokens, blob));
  forget();
  std::size_t taken = 0;
  try {
    taken =
        llama_state_seq_set_data(context_.get(), reinterpret_cast<const std::uint8_t*>(blob.data()), size, kSequence);
  } catch (...) {
    taken = 0;
  }
  if (taken != size) {
    forget();
    return Error{ErrorCode::kEngineFailed, 0, "llama.cpp restore"};
  }
  cached_ = tokens.size();
  return {};
}

/// Logits after `token`; valid until the next step.
Result<std::span<const float>> LlamaEngine::step(TokenId token) {
  SLUICE_TRY(check_prompt(std::span(&token, 1)));
  if (cached_ >= description_.shape.tokens.count()) return Error{ErrorCode::kPromptTooLong, 0, "generation"};
  SLUICE_TRY(feed(std::span(&token, 1), /*wants_logits=*/true));
  const float* logits = llama_get_logits_ith(context_.get(), -1);
  if (logits == nullptr) return Error{ErrorCode::kEngineFailed, 0, "llama.cpp logits"};
  return std::span<const float>(logits, description_.vocabulary);
}

Result<Generation> LlamaEngine::generate(TokenId last, const GenerateOptions& options) {
  const auto count = static_cast<std::size_t>(options.count.count());
  if (count == 0) return Error{ErrorCode::kInvalidArgument, 0, "generate no tokens"};
  if (!options.forced.empty() && options.forced.size() < count) {
    return Error{ErrorCode::kInvalidArgument, 0, "forced tokens too short"};
  }
  if (cached_ == 0) return Error{ErrorCode::kInvalidArgument, 0, "generate from an empty cache"};
  const Instant start = clock_.now();
  Generation generation;
  std::uint64_t hash = 0;
  TokenId next = last;
  for (std::size_t i = 0; i < count; ++i) {
    SLUICE_ASSIGN(const std::span<const float> logits, step(next));
    const auto best = std::max_element(logits.begin(), logits.end());
    const TokenId choice(static_cast<std::int32_t>(best - logits.begin()));
    if (i == 0) generation.time_to_first_token = clock_.now() - start;
    hash = digest_(std::as_bytes(logits), hash);
    if (options.keep_logits) generation.logits.insert(generation.logits.end(), logits.begin(), logits.end());
    generation.tokens.push_back(choice);
    next = options.forced.empty() ? choice : options.forced[i];
  }
  generation.total_time = clock_.now() - start;
  generation.logits_hash = ContentHash(hash);
  return generation;
}

}  // namespace

Result<std::unique_ptr<Engine>> open_llama_engine(const LlamaEngineOptions& options, kernels::DigestFn& digest,
                                                  const Clock& clock) {
  constexpr std::uint64_t kMostChunkTokens = 4096;  // what one unit of the codec may hold
  const std::uint64_t chunk = options.chunk_tokens.count();
  if (chunk == 0 || chunk > kMostChunkTokens) return Error{ErrorCode::kInvalidArgument, 0, "chunk tokens"};
  if (options.threads == 0 || options.threads > 256) return Error{ErrorCode::kInvalidArgument, 0, "threads"};
  std::error_code fault;
  if (!std::filesystem::is_regular_file(options.model_path, fault)) {
    return Error{ErrorCode::kModelMissing, fault.value(), "model file"};
  }
  try {
    llama_log_set(&drop_log, nullptr);
    llama_backend_init();
    ModelHandle model(llama_model_load_from_file(options.model_path.c_str(), llama_model_default_params()));
    if (!model) return Error{ErrorCode::kEngineFailed, 0, "llama.cpp model"};
    SLUICE_ASSIGN(ModelDescription description, describe_model(*model, options, digest));
    auto engine = std::make_unique<LlamaEngine>(std::move(model), std::move(description), digest, clock);
    SLUICE_TRY(engine->make_context(options.threads));
    return std::unique_ptr<Engine>(std::move(engine));
  } catch (...) {
    return Error{ErrorCode::kEngineFailed, 0, "llama.cpp load"};
  }
}

}  // namespace sluice::integration::llama_cpp
