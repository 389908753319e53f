#include "integration/engines/recorded/recording.h"

#include <nlohmann/json.hpp>

#include "codec/container.h"
#include "integration/kv_container.h"
#include "integration/mapped_file.h"

namespace sluice::integration::recorded {
namespace {

using Json = nlohmann::json;

constexpr Bytes kMostPlanes = Bytes(std::uint64_t{1} << 30);

Error bad_field(const char* where) { return Error{ErrorCode::kBadField, 0, where}; }

std::string hex(ContentHash hash) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  std::uint64_t value = hash.value();
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, value >>= 4U) *digit = kDigits[value & 15U];
  return text;
}

Result<ContentHash> hash_in(const Json& facts, const char* key) {
  const auto entry = facts.find(key);
  if (entry == facts.end() || !entry->is_string()) return bad_field(key);
  const std::string& text = entry->get_ref<const std::string&>();
  if (text.size() != 16 || text.find_first_not_of("0123456789abcdef") != std::string::npos) return bad_field(key);
  return ContentHash(std::stoull(text, nullptr, 16));
}

Result<std::string> text_in(const Json& facts, const char* key) {
  const auto entry = facts.find(key);
  if (entry == facts.end() || !entry->is_string()) return bad_field(key);
  return entry->get<std::string>();
}

/// Tokens as [[id, text], ...]; the texts go into `pieces`.
Result<std::vector<TokenId>> tokens_in(const Json& facts, const char* key, std::map<TokenId, std::string>& pieces) {
  const auto list = facts.find(key);
  if (list == facts.end() || !list->is_array() || list->empty()) return bad_field(key);
  std::vector<TokenId> tokens;
  for (const Json& entry : *list) {
    const bool is_pair = entry.is_array() && entry.size() == 2 && entry[0].is_number_unsigned() && entry[1].is_string();
    if (!is_pair || entry[0].get<std::uint64_t>() > 0x7fffffffU) return bad_field(key);
    tokens.emplace_back(entry[0].get<std::int32_t>());
    pieces[tokens.back()] = entry[1].get<std::string>();
  }
  return tokens;
}

Json pairs_of(std::span<const TokenId> tokens, const std::map<TokenId, std::string>& pieces) {
  Json list = Json::array();
  for (const TokenId token : tokens) {
    const auto piece = pieces.find(token);
    list.push_back({token.value(), piece == pieces.end() ? std::string() : piece->second});
  }
  return list;
}

Result<ModelDescription> description_of(const Json& facts, const codec::ContainerHeader& header) {
  ModelDescription description;
  SLUICE_ASSIGN(description.name, text_in(facts, "model_name"));
  SLUICE_ASSIGN(description.model, hash_in(facts, "model_hash"));
  SLUICE_ASSIGN(description.engine_build, hash_in(facts, "engine_build"));
  const auto vocabulary = facts.find("vocabulary");
  if (vocabulary == facts.end() || !vocabulary->is_number_unsigned()) return bad_field("vocabulary");
  description.vocabulary = vocabulary->get<std::uint32_t>();
  if (description.model != header.model) return Error{ErrorCode::kIncompatibleLayout, 0, "recording's model"};
  description.shape = header.shape;
  description.rope = header.rope;
  description.chunk_tokens = header.chunk_tokens;
  return description;
}

}  // namespace

Result<Recording> parse_recording(const kernels::KernelTable& kernels, std::span<const std::byte> container,
                                  std::string_view facts_text) {
  const Json facts = Json::parse(facts_text, nullptr, /*allow_exceptions=*/false);
  if (!facts.is_object()) return bad_field("recording");
  SLUICE_ASSIGN(const codec::ContainerView file, codec::ContainerView::open(kernels, container));
  SLUICE_ASSIGN(ModelDescription description, description_of(facts, file.header()));
  std::map<TokenId, std::string> pieces;
  SLUICE_ASSIGN(std::string text, text_in(facts, "text"));
  SLUICE_ASSIGN(std::vector<TokenId> prompt, tokens_in(facts, "prompt", pieces));
  SLUICE_ASSIGN(std::vector<TokenId> greedy, tokens_in(facts, "greedy", pieces));
  SLUICE_ASSIGN(const ContentHash logits_hash, hash_in(facts, "logits_hash"));
  if (file.header().shape.tokens.count() + 1 != prompt.size()) {
    return Error{ErrorCode::kIncompatibleLayout, 0, "recording's tokens"};
  }
  SLUICE_ASSIGN(DecodedPlanes rows, decode_planes(kernels, file, {.level = Part::kLossless, .most = kMostPlanes}));
  return Recording{std::move(description), std::move(text),       std::move(prompt), std::move(greedy), logits_hash,
                   std::move(pieces),      std::move(rows.planes)};
}

Result<Recording> load_recording(const kernels::KernelTable& kernels, const std::filesystem::path& path) {
  if (path.empty()) return parse_recording(kernels, built_in_container(), built_in_facts());
  std::filesystem::path facts_path = path;
  facts_path.replace_extension(".json");
  SLUICE_ASSIGN(const MappedFile container, MappedFile::open(path));
  SLUICE_ASSIGN(const MappedFile facts, MappedFile::open(facts_path));
  return parse_recording(kernels, container.bytes(),
                         std::string_view(reinterpret_cast<const char*>(facts.bytes().data()), facts.bytes().size()));
}

std::string write_facts(const Recording& recording) {
  const Json facts = {{"model_name", recording.description.name},
                      {"model_hash", hex(recording.description.model)},
                      {"engine_build", hex(recording.description.engine_build)},
                      {"vocabulary", recording.description.vocabulary},
                      {"text", recording.text},
                      {"prompt", pairs_of(recording.prompt, recording.pieces)},
                      {"greedy", pairs_of(recording.greedy, recording.pieces)},
                      {"logits_hash", hex(recording.logits_hash)}};
  return facts.dump(1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) + "\n";
}

}  // namespace sluice::integration::recorded
