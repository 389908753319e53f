#include "integration/engines/recorded/recorded_engine.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "integration/engines/recorded/recording.h"

namespace sluice::integration::recorded {
namespace {

constexpr std::uint32_t kMostRepetitions = 1024;

/// How the cache of this engine came about.
enum class CacheState { kEmpty, kEqual, kUnequal };

class RecordedEngine final : public Engine {
 public:
  RecordedEngine(Recording recording, const RecordedEngineOptions& options, const Clock& clock);

  const ModelDescription& description() const override { return description_; }
  Result<std::vector<TokenId>> tokenize(std::string_view text) override;
  std::string detokenize(std::span<const TokenId> tokens) override;
  Result<void> prefill(std::span<const TokenId> tokens, KvPlanes& planes, PrefillSink& sink,
                       std::stop_token stop) override;
  Result<void> restore(std::span<const TokenId> tokens, const KvPlanes& planes) override;
  Result<void> recompute(std::span<const TokenId> tokens, std::stop_token stop) override;
  Result<Generation> generate(TokenId last, const GenerateOptions& options) override;

 private:
  Result<void> check_prompt(std::span<const TokenId> tokens) const;
  bool fits(const KvPlanes& planes, std::size_t tokens) const;
  Result<void> replay(std::size_t tokens, KvPlanes* planes, PrefillSink* sink, const std::stop_token& stop);
  void place(TokenRange tokens, LayerIndex layer, KvPlanes& planes) const;
  bool equals_recorded(std::size_t tokens, const KvPlanes& planes) const;
  bool pass(Duration span, const std::stop_token& stop) const;

  Recording recording_;
  ModelDescription description_;
  std::vector<TokenId> prompt_;  // all repetitions, and the last token
  Duration per_token_;
  const Clock& clock_;
  CacheState cache_ = CacheState::kEmpty;
  std::size_t cached_ = 0;  // tokens
};

RecordedEngine::RecordedEngine(Recording recording, const RecordedEngineOptions& options, const Clock& clock)
    : recording_(std::move(recording)),
      description_(recording_.description),
      per_token_(options.prefill_per_token),
      clock_(clock) {
  const std::span<const TokenId> body = std::span(recording_.prompt).first(recording_.prompt.size() - 1);
  for (std::uint32_t i = 0; i < options.repetitions; ++i) prompt_.insert(prompt_.end(), body.begin(), body.end());
  prompt_.push_back(recording_.prompt.back());
  description_.name += " (recorded: replays one prompt, cannot compute)";
  description_.shape.tokens = Tokens(prompt_.size() + recording_.greedy.size());
}

Result<std::vector<TokenId>> RecordedEngine::tokenize(std::string_view text) {
  if (text != recording_.text) return Error{ErrorCode::kUnsupported, 0, "recorded engine knows one text"};
  return prompt_;
}

std::string RecordedEngine::detokenize(std::span<const TokenId> tokens) {
  std::string text;
  for (const TokenId token : tokens) {
    if (const auto piece = recording_.pieces.find(token); piece != recording_.pieces.end()) text += piece->second;
  }
  return text;
}

/// Only a beginning of the recorded prompt has recorded rows: a token's rows depend on nothing after it.
Result<void> RecordedEngine::check_prompt(std::span<const TokenId> tokens) const {
  if (tokens.empty()) return Error{ErrorCode::kInvalidArgument, 0, "prompt without tokens"};
  if (tokens.size() > description_.shape.tokens.count()) return Error{ErrorCode::kPromptTooLong, 0, "prompt"};
  if (tokens.size() >= prompt_.size() || !std::equal(tokens.begin(), tokens.end(), prompt_.begin())) {
    return Error{ErrorCode::kUnsupported, 0, "recorded engine has no KV of this prompt"};
  }
  return {};
}

bool RecordedEngine::fits(const KvPlanes& planes, std::size_t tokens) const {
  kernels::KvShape shape = planes.shape();
  shape.tokens = description_.shape.tokens;
  return shape == description_.shape && planes.shape().tokens.count() >= tokens;
}

/// Calls visit(token of the prompt, token of the recording, how many) for runs that do not cross a repetition.
template <typename Visit>
void for_each_run(TokenRange tokens, std::uint64_t recorded, const Visit& visit) {
  const std::uint64_t end = tokens.first.value() + tokens.count.count();
  for (std::uint64_t at = tokens.first.value(); at < end;) {
    const std::uint64_t count = std::min(end - at, recorded - at % recorded);
    visit(at, at % recorded, count);
    at += count;
  }
}

void RecordedEngine::place(TokenRange tokens, LayerIndex layer, KvPlanes& planes) const {
  const auto row = static_cast<std::size_t>(description_.shape.row_bytes().count());
  const std::uint64_t recorded = recording_.planes.shape().tokens.count();
  for_each_run(tokens, recorded, [&](std::uint64_t to, std::uint64_t from, std::uint64_t count) {
    const auto copy = [&](std::span<const std::byte> source, std::span<std::byte> target) {
      std::ranges::copy(source.subspan(from * row, count * row), target.subspan(to * row).begin());
    };
    copy(recording_.planes.k_layer(layer), planes.mutable_k_layer(layer));
    copy(recording_.planes.v_layer(layer), planes.mutable_v_layer(layer));
  });
}

bool RecordedEngine::equals_recorded(std::size_t tokens, const KvPlanes& planes) const {
  const auto row = static_cast<std::size_t>(description_.shape.row_bytes().count());
  const std::uint64_t recorded = recording_.planes.shape().tokens.count();
  bool is_equal = true;
  for (std::uint32_t i = 0; i < description_.shape.layers.count(); ++i) {
    const LayerIndex layer(i);
    for_each_run(
        {TokenIndex(0), Tokens(tokens)}, recorded, [&](std::uint64_t at, std::uint64_t from, std::uint64_t count) {
          const auto equal = [&](std::span<const std::byte> left, std::span<const std::byte> right) {
            return std::ranges::equal(left.subspan(from * row, count * row), right.subspan(at * row, count * row));
          };
          is_equal = is_equal && equal(recording_.planes.k_layer(layer), planes.k_layer(layer)) &&
                     equal(recording_.planes.v_layer(layer), planes.v_layer(layer));
        });
  }
  return is_equal;
}

/// Waits without computing; false when it was stopped.
bool RecordedEngine::pass(Duration span, const std::stop_token& stop) const {
  if (span.count() <= 0) return !stop.stop_requested();
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, span, [] { return false; });
  return !stop.stop_requested();
}

Result<void> RecordedEngine::replay(std::size_t tokens, KvPlanes* planes, PrefillSink* sink,
                                    const std::stop_token& stop) {
  cache_ = CacheState::kEmpty;
  const std::uint64_t layers = description_.shape.layers.count();
  const auto chunk = static_cast<std::size_t>(description_.chunk_tokens.count());
  for (std::size_t first = 0; first < tokens; first += chunk) {
    const TokenRange range{TokenIndex(first), Tokens(std::min(chunk, tokens - first))};
    const auto span =
        Duration(static_cast<std::int64_t>(range.count.count()) * per_token_ / static_cast<std::int64_t>(layers));
    for (std::uint32_t layer = 0; layer < layers; ++layer) {
      if (!pass(span, stop)) return Error{ErrorCode::kAborted, 0, "prefill"};
      if (planes == nullptr) continue;
      place(range, LayerIndex(layer), *planes);
      sink->on_layers_ready({LayerIndex(layer), Layers(1)}, range);
    }
  }
  cache_ = CacheState::kEqual;
  cached_ = tokens;
  return {};
}

Result<void> RecordedEngine::prefill(std::span<const TokenId> tokens, KvPlanes& planes, PrefillSink& sink,
                                     std::stop_token stop) {
  SLUICE_TRY(check_prompt(tokens));
  if (!fits(planes, tokens.size())) return Error{ErrorCode::kInvalidArgument, 0, "planes of another shape"};
  return replay(tokens.size(), &planes, &sink, stop);
}

Result<void> RecordedEngine::recompute(std::span<const TokenId> tokens, std::stop_token stop) {
  SLUICE_TRY(check_prompt(tokens));
  return replay(tokens.size(), nullptr, nullptr, stop);
}

Result<void> RecordedEngine::restore(std::span<const TokenId> tokens, const KvPlanes& planes) {
  cache_ = CacheState::kEmpty;
  SLUICE_TRY(check_prompt(tokens));
  if (!fits(planes, tokens.size())) return Error{ErrorCode::kIncompatibleLayout, 0, "planes of another shape"};
  cache_ = equals_recorded(tokens.size(), planes) ? CacheState::kEqual : CacheState::kUnequal;
  cached_ = tokens.size();
  return {};
}

Result<Generation> RecordedEngine::generate(TokenId last, const GenerateOptions& options) {
  const auto count = static_cast<std::size_t>(options.count.count());
  if (count == 0) return Error{ErrorCode::kInvalidArgument, 0, "generate no tokens"};
  if (cache_ == CacheState::kEmpty) return Error{ErrorCode::kInvalidArgument, 0, "generate from an empty cache"};
  if (!options.forced.empty() || options.keep_logits) {
    return Error{ErrorCode::kUnsupported, 0, "recorded engine computes no logits"};
  }
  if (cached_ + 1 != prompt_.size() || last != prompt_.back()) {
    return Error{ErrorCode::kUnsupported, 0, "recorded engine has no answer to this prompt"};
  }
  if (count > recording_.greedy.size()) return Error{ErrorCode::kUnsupported, 0, "recorded answer is shorter"};
  const Instant start = clock_.now();
  const bool is_whole = count == recording_.greedy.size();
  const bool is_recorded_prompt = prompt_.size() == recording_.prompt.size();
  Generation generation;
  generation.tokens.assign(recording_.greedy.begin(), recording_.greedy.begin() + static_cast<std::ptrdiff_t>(count));
  generation.approximate = cache_ == CacheState::kUnequal || !is_recorded_prompt;
  if (is_whole && !generation.approximate) generation.logits_hash = recording_.logits_hash;
  generation.time_to_first_token = clock_.now() - start;
  generation.total_time = generation.time_to_first_token;
  cache_ = CacheState::kEmpty;  // what would follow was not recorded
  return generation;
}

}  // namespace

Result<std::unique_ptr<Engine>> open_recorded_engine(const RecordedEngineOptions& options,
                                                     const kernels::KernelTable& kernels, const Clock& clock) {
  if (options.repetitions == 0 || options.repetitions > kMostRepetitions) {
    return Error{ErrorCode::kInvalidArgument, 0, "repetitions"};
  }
  SLUICE_ASSIGN(Recording recording, load_recording(kernels, options.recording));
  return std::unique_ptr<Engine>(std::make_unique<RecordedEngine>(std::move(recording), options, clock));
}

}  // namespace sluice::integration::recorded
