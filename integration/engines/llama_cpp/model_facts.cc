#include "integration/engines/llama_cpp/model_facts.h"

#include <gguf.h>
#include <llama.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "integration/engines/llama_cpp/state_blob.h"
#include "integration/mapped_file.h"

namespace sluice::integration::llama_cpp {
namespace {

static_assert(LLAMA_STATE_SEQ_VERSION == kStateVersion, "state_blob.h describes another version of the state");

/// Value of a metadata key as text; nothing where the model has none.
std::optional<std::string> metadata(const llama_model& model, const std::string& key) {
  std::array<char, 256> text{};
  const int size = llama_model_meta_val_str(&model, key.c_str(), text.data(), text.size());
  if (size < 0) return std::nullopt;
  return std::string(text.data());
}

std::optional<std::uint64_t> count_in(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, fault] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (fault != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

/// Some models divide each pair's angle by a factor kept in a tensor of its own: their rotation is not a RopeSpec.
bool has_rope_factors(const std::filesystem::path& path) {
  gguf_init_params parameters{};
  parameters.no_alloc = true;
  const std::unique_ptr<gguf_context, decltype(&gguf_free)> file(gguf_init_from_file(path.c_str(), parameters),
                                                                 &gguf_free);
  return file == nullptr || gguf_find_tensor(file.get(), "rope_freqs.weight") >= 0;
}

kernels::RopeSpec rope_of(const llama_model& model, const LlamaEngineOptions& options, const std::string& family,
                          HeadDim head_dim) {
  kernels::RopeSpec rope;
  const std::optional<std::string> scaling = metadata(model, family + ".rope.scaling.type");
  const bool is_scaled = scaling.has_value() && *scaling != "none";
  if (is_scaled || llama_model_rope_freq_scale_train(&model) != 1.0F || has_rope_factors(options.model_path))
    return rope;
  switch (llama_model_rope_type(&model)) {
    case LLAMA_ROPE_TYPE_NORM:
      rope.style = kernels::RopeStyle::kPairs;
      break;
    case LLAMA_ROPE_TYPE_NEOX:
      rope.style = kernels::RopeStyle::kHalves;
      break;
    default:
      return rope;
  }
  rope.dims = static_cast<std::uint32_t>(
      count_in(metadata(model, family + ".rope.dimension_count")).value_or(head_dim.count()));
  if (const auto base = metadata(model, family + ".rope.freq_base")) rope.base = std::strtod(base->c_str(), nullptr);
  const bool is_plausible = rope.dims > 0 && rope.dims % 2 == 0 && rope.dims <= head_dim.count() && rope.base > 1.0;
  return is_plausible && std::isfinite(rope.base) ? rope : kernels::RopeSpec{};
}

ContentHash build_hash(const LlamaEngineOptions& options, kernels::DigestFn& digest) {
  std::string facts = "llama.cpp ";
  facts += llama_version();
  facts += '\n';
  facts += llama_print_system_info();
  facts += "\nstate " + std::to_string(kStateVersion) + " threads " + std::to_string(options.threads) + " chunk " +
           std::to_string(options.chunk_tokens.count()) + " cache f16 flash-attention on";
  return ContentHash(digest(std::as_bytes(std::span(facts)), 0));
}

}  // namespace

Result<ModelDescription> describe_model(const llama_model& model, const LlamaEngineOptions& options,
                                        kernels::DigestFn& digest) {
  if (llama_model_n_swa(&model) > 0) return Error{ErrorCode::kUnsupported, 0, "model with a sliding window"};
  if (llama_model_is_recurrent(&model) || llama_model_is_hybrid(&model)) {
    return Error{ErrorCode::kUnsupported, 0, "model with recurrent state"};
  }
  if (llama_model_has_encoder(&model) || !llama_model_has_decoder(&model)) {
    return Error{ErrorCode::kUnsupported, 0, "model with an encoder"};
  }
  const std::string family = metadata(model, "general.architecture").value_or("");
  const auto heads = static_cast<std::uint64_t>(llama_model_n_head(&model));
  const auto embedding = static_cast<std::uint64_t>(llama_model_n_embd(&model));
  if (heads == 0 || embedding % heads != 0) return Error{ErrorCode::kUnsupported, 0, "model with uneven heads"};
  const auto key = count_in(metadata(model, family + ".attention.key_length")).value_or(embedding / heads);
  const auto value = count_in(metadata(model, family + ".attention.value_length")).value_or(key);
  if (key != value) return Error{ErrorCode::kUnsupported, 0, "model with unlike k and v"};

  ModelDescription description;
  description.name = metadata(model, "general.name").value_or(options.model_path.filename().string());
  SLUICE_ASSIGN(const MappedFile weights, MappedFile::open(options.model_path));
  description.model = ContentHash(digest(weights.bytes(), 0));
  description.engine_build = build_hash(options, digest);
  const auto trained = static_cast<std::uint64_t>(llama_model_n_ctx_train(&model));
  const std::uint64_t context = options.context_tokens.is_zero() ? trained : options.context_tokens.count();
  if (context > trained) return Error{ErrorCode::kInvalidArgument, 0, "context beyond the model's"};
  description.shape = {Layers(static_cast<std::uint64_t>(llama_model_n_layer(&model))), Tokens(context),
                       Heads(static_cast<std::uint64_t>(llama_model_n_head_kv(&model))), HeadDim(key),
                       kernels::DType::kF16};
  description.rope = rope_of(model, options, family, HeadDim(key));
  description.chunk_tokens = options.chunk_tokens;
  description.vocabulary = static_cast<std::uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(&model)));
  return description;
}

}  // namespace sluice::integration::llama_cpp
