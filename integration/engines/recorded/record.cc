// Makes a recording with the llama.cpp engine: `record_kv MODEL.gguf TEXT.txt OUT.slk TOKENS`. It prefills the first
// TOKENS tokens of the text but one, keeps the rows losslessly, and notes the 40 greedy tokens and their logits' hash.
// The recording in the tree: record_kv SmolLM2-135M-Instruct.Q4_1.gguf data/prompt.txt data/recording.slk 191
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "base/clock.h"
#include "integration/engines/llama_cpp/llama_engine.h"
#include "integration/engines/recorded/recording.h"
#include "integration/file_output.h"
#include "integration/kv_container.h"

namespace sluice::integration::recorded {
namespace {

constexpr Tokens kChunkTokens = Tokens(64);  // several chunks even of a short prompt
constexpr Tokens kGreedyTokens = Tokens(40);

class NoSink final : public PrefillSink {
 public:
  void on_layers_ready(LayerRange, TokenRange) override {}
};

struct Request {
  std::string model;
  std::string text;
  std::filesystem::path out;
  std::size_t tokens = 0;
};

Result<Recording> make_recording(const Request& request, Engine& engine) {
  SLUICE_ASSIGN(std::vector<TokenId> prompt, engine.tokenize(request.text));
  if (prompt.size() < request.tokens) return Error{ErrorCode::kInvalidArgument, 0, "text is too short"};
  prompt.resize(request.tokens);
  const std::span<const TokenId> body = std::span(prompt).first(prompt.size() - 1);
  kernels::KvShape shape = engine.description().shape;
  shape.tokens = Tokens(body.size());
  SLUICE_ASSIGN(KvPlanes planes, KvPlanes::allocate(shape));
  NoSink sink;
  SLUICE_TRY(engine.prefill(body, planes, sink, {}));
  SLUICE_ASSIGN(Generation answer, engine.generate(prompt.back(), {kGreedyTokens, {}, false}));
  std::map<TokenId, std::string> pieces;
  for (const TokenId token : prompt) pieces[token] = engine.detokenize(std::span(&token, 1));
  for (const TokenId token : answer.tokens) pieces[token] = engine.detokenize(std::span(&token, 1));
  return Recording{engine.description(), engine.detokenize(prompt), prompt,           answer.tokens,
                   answer.logits_hash,   std::move(pieces),         std::move(planes)};
}

Result<void> record(const Request& request) {
  const MonotonicClock clock;
  const kernels::KernelTable& kernels = kernels::ref_kernels();
  llama_cpp::LlamaEngineOptions options;
  options.model_path = request.model;
  options.chunk_tokens = kChunkTokens;
  SLUICE_ASSIGN(const std::unique_ptr<Engine> engine, llama_cpp::open_llama_engine(options, *kernels.digest, clock));
  SLUICE_ASSIGN(const Recording recording, make_recording(request, *engine));
  KvContainerOptions how;
  how.rope = recording.description.rope;
  how.chunk_tokens = kChunkTokens;
  how.model = recording.description.model;
  SLUICE_ASSIGN(const std::vector<std::byte> container, encode_rows(kernels, recording.planes.rows(), how));
  const std::string facts = write_facts(recording);
  std::filesystem::path facts_path = request.out;
  facts_path.replace_extension(".json");
  SLUICE_TRY(replace_file(request.out, container));
  SLUICE_TRY(replace_file(facts_path, std::as_bytes(std::span(facts))));
  SLUICE_TRY(parse_recording(kernels, container, facts));
  std::printf("%zu tokens, %zu bytes of rows in %zu bytes\n", recording.prompt.size(),
              static_cast<std::size_t>(recording.planes.shape().raw_bytes().count()), container.size());
  return {};
}

}  // namespace
}  // namespace sluice::integration::recorded

int main(int count, char** words) {
  if (count != 5) {
    std::fprintf(stderr, "usage: record_kv MODEL.gguf TEXT.txt OUT.slk TOKENS\n");
    return 2;
  }
  std::ifstream file(words[2], std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t tokens = std::strtoul(words[4], nullptr, 10);
  if (!file || text.empty() || tokens < 2) {
    std::fprintf(stderr, "record_kv: no text in '%s', or fewer than 2 tokens asked for\n", words[2]);
    return 2;
  }
  const auto outcome = sluice::integration::recorded::record({words[1], text, words[3], tokens});
  if (outcome.has_value()) return 0;
  std::fprintf(stderr, "record_kv: %s: %s\n", outcome.error().where,
               std::string(sluice::error_hint(outcome.error().code)).c_str());
  return 1;
}
