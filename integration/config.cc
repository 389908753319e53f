#include "integration/config.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <span>
#include <variant>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "base/result.h"
#include "integration/config_rules.h"
#include "integration/nearest.h"

namespace sluice::integration {
namespace {

constexpr std::uint64_t kGiB = 1ULL << 30U;
constexpr std::uint64_t kLongestText = 4096;
constexpr std::uint64_t kLargestFile = 1U << 20U;

/// Milliseconds and nanoseconds are both Duration in Config; the key's unit says which the text is in.
struct Milliseconds {
  Duration Config::*member;
};
struct Nanoseconds {
  Duration Config::*member;
};
using Target = std::variant<std::string Config::*, bool Config::*, std::vector<std::string> Config::*, Bytes Config::*,
                            Layers Config::*, Tokens Config::*, BitsPerSecond Config::*, PartsPerMillion Config::*,
                            Milliseconds, Nanoseconds>;

struct Field {
  std::string_view key;
  Target target;
  std::string_view fallback;
  /// Words that are allowed, separated by a space; empty = any text.
  std::string_view words;
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  std::string_view doc;
};

const std::array kFields = {
    Field{"node.name", &Config::node_name, "node", "", 0, 0, "how peers, logs and metrics call this node"},
    Field{"node.role", &Config::node_role, "both", "prefill decode both store", 0, 0,
          "which side of a hand-over it takes"},
    Field{"listen.data", &Config::listen_data, "127.0.0.1:7411", "", 0, 0,
          "host:port for peers; port 0 takes any free one"},
    Field{"listen.admin", &Config::listen_admin, "127.0.0.1:7412", "", 0, 0,
          "host:port of /metrics, /healthz and the API; empty for none"},
    Field{"listen.allow_insecure", &Config::listen_allow_insecure, "false", "", 0, 0,
          "listen beyond this machine without encryption or authentication (the admin port has none ever)"},
    Field{"discovery.peers", &Config::discovery_peers, "", "", 0, 0, "host:port of nodes to keep connected"},
    Field{"tls.certificate", &Config::tls_certificate, "", "", 0, 0,
          "PEM file: this node's certificate, with node.name as a DNS name; empty: no TLS"},
    Field{"tls.key", &Config::tls_key, "", "", 0, 0, "PEM file: its private key, not encrypted"},
    Field{"tls.ca", &Config::tls_ca, "", "", 0, 0, "PEM file: authorities that sign the certificates of peers"},
    Field{"tls.allowed_names", &Config::tls_allowed_names, "", "", 0, 0,
          "names of peers that may talk to this node; empty: all that tls.ca signed"},
    Field{"tls.allow_plain_ucx", &Config::tls_allow_plain_ucx, "false", "", 0, 0,
          "let ucx carry KV unencrypted between nodes that have greeted each other over TLS"},
    Field{"transport.prefer", &Config::transport_prefer, "auto", "auto tcp ucx shm", 0, 0,
          "what carries KV bytes; auto: shm to peers of this host and user, tcp to all others"},
    Field{"transport.shm_any_user", &Config::transport_shm_any_user, "false", "", 0, 0,
          "share memory with peers of other users of this host, too"},
    Field{"transport.shm_spin_ns", Nanoseconds{&Config::transport_shm_spin}, "0", "", 0, 1'000'000,
          "how long an idle shm link looks again before it sleeps; only where a core is free for it"},
    Field{"transport.heartbeat_ms", Milliseconds{&Config::transport_heartbeat}, "100", "", 10, 60'000,
          "time between heartbeats; a peer is dead after five"},
    Field{"memory.ring_bytes", &Config::memory_ring, "67108864", "", 1U << 20U, 1024 * kGiB,
          "staging ring: the only memory that peers fill"},
    Field{"memory.store_bytes", &Config::memory_store, "1073741824", "", 0, 1024 * kGiB,
          "encoded prompts kept for reuse"},
    Field{"memory.planes_bytes", &Config::memory_planes, "4294967296", "", 1U << 20U, 1024 * kGiB,
          "decoded KV of all running requests together"},
    Field{"codec.group_layers", &Config::codec_group_layers, "6", "", 1, 1024, "layers of one unit"},
    Field{"codec.profile", &Config::codec_profile, "", "", 0, 0,
          "calibration profile (.slp) of the model, the same on all nodes; empty: none"},
    Field{"codec.level", &Config::codec_level, "nested", "", 0, 0,
          "level of the profile that nested parts are coded at"},
    Field{"codec.parts", &Config::codec_parts, "raw,lossless,int8,nested", "raw lossless int8 nested", 0, 0,
          "what a prefill node offers of each unit"},
    Field{"planner.policy", &Config::planner_policy, "sluice", "", 0, 0,
          "a name that scheduler/policy.h lists, such as sluice, cachegen, raw or fixed:<part>[+<part>]"},
    Field{"planner.nominal_bits_per_second", &Config::planner_nominal_rate, "1000000000", "", 1000,
          1'000'000'000'000'000, "ingress rate assumed before anything is measured"},
    Field{"planner.nominal_is_trusted", &Config::planner_nominal_is_trusted, "false", "", 0, 0,
          "whether that rate is known to be true"},
    Field{"planner.quality_floor_ppm", &Config::planner_quality_floor, "0", "", 0, 1'000'000,
          "least quality that may be published, in millionths"},
    Field{"planner.quality_target_ppm", &Config::planner_quality_target, "1000000", "", 0, 1'000'000,
          "quality at which refining stops, in millionths"},
    Field{"planner.deadline_ms", Milliseconds{&Config::planner_deadline}, "2000", "", 1, 600'000,
          "time to first token of requests that state none"},
    Field{"planner.decision_log", &Config::planner_decision_log, "", "", 0, 0,
          "file for every event and decision, for 'sluice trace replay' and 'sluice explain'; empty: none"},
    Field{"planner.decision_log_bytes", &Config::planner_decision_log_size, "67108864", "", 65'536, 1024 * kGiB,
          "size at which the decision log ends"},
    Field{"engine.kind", &Config::engine_kind, "none", "none recorded llama_cpp", 0, 0, "what computes KV and tokens"},
    Field{"engine.model", &Config::engine_model, "", "", 0, 0, "path of the GGUF file (llama_cpp) or recording"},
    Field{"engine.context_tokens", &Config::engine_context, "0", "", 0, 1U << 20U,
          "longest prompt and answer together; 0 takes the model's own"},
    Field{"engine.prefill_ns_per_token", Nanoseconds{&Config::engine_prefill_per_token}, "1000000", "", 0,
          60'000'000'000, "pace of the recorded engine's prefill"},
};

const Field* find_field(std::string_view key) {
  const auto found = std::find_if(kFields.begin(), kFields.end(), [&](const Field& field) { return field.key == key; });
  return found == kFields.end() ? nullptr : &*found;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) pieces.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return pieces;
}

bool is_text(const Field& field) { return std::holds_alternative<std::string Config::*>(field.target); }
bool is_list(const Field& field) { return std::holds_alternative<std::vector<std::string> Config::*>(field.target); }
bool is_truth(const Field& field) { return std::holds_alternative<bool Config::*>(field.target); }

std::string_view type_name(const Field& field) {
  return is_text(field)    ? "text"
         : is_list(field)  ? "a list of texts"
         : is_truth(field) ? "true or false"
                           : "a whole number";
}

std::string environment_name(std::string_view key) {
  std::string name = "SLUICE_";
  for (const char letter : key) {
    if (letter == '.') {
      name += "__";
    } else {
      name += static_cast<char>(letter >= 'a' && letter <= 'z' ? letter - 'a' + 'A' : letter);
    }
  }
  return name;
}

/// A text shown in a message: one line, bounded, without control characters.
std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 80;
  std::string quoted = "'";
  for (const char letter : text.substr(0, kMost)) quoted += letter >= 0 && letter < ' ' ? '?' : letter;
  return quoted + (text.size() > kMost ? "...'" : "'");
}

std::string hint_for(std::string_view key) {
  const std::vector<std::string_view> keys = config_keys();
  const std::string_view near = nearest_word(key, keys);
  return near.empty() ? "see 'sluice config explain' for all keys" : "did you mean '" + std::string(near) + "'?";
}

/// Collects values on their way from the four sources into one Config.
class Loader {
 public:
  Loader() {
    for (const Field& field : kFields) {
      loaded_.origins.push_back({field.key, std::string(field.fallback), "default", field.doc});
      assign(field, field.fallback, "default");
    }
  }

  void read_file(const std::filesystem::path& path);
  void read_environment(const std::vector<std::pair<std::string, std::string>>& environment);
  void read_settings(const std::vector<std::string>& settings);

  LoadedConfig finish() {
    if (loaded_.problems.empty()) {
      for (std::string& message : check_config_rules(loaded_.config)) {
        loaded_.problems.push_back({ErrorCode::kConfigInvalid, std::move(message)});
      }
    }
    return std::move(loaded_);
  }

 private:
  void wrong(ErrorCode code, std::string message) { loaded_.problems.push_back({code, std::move(message)}); }
  void unknown(const std::string& place, std::string_view key) {
    wrong(ErrorCode::kUnknownKey, place + ": unknown key " + shown(key) + "; " + hint_for(key));
  }
  void read_table(const std::string& file, std::string_view section, const toml::table& table);
  void read_value(const std::string& place, std::string_view key, const toml::node& node);
  bool assign(const Field& field, std::string_view text, const std::string& place);
  bool assign_number(const Field& field, std::string_view text, const std::string& place);
  bool assign_words(const Field& field, std::string_view text, const std::string& place);
  void set(const Field& field, std::string_view text, const std::string& origin) {
    if (!assign(field, text, origin)) return;
    ConfigOrigin& row = loaded_.origins[static_cast<std::size_t>(&field - kFields.data())];
    row.value = text;
    row.origin = origin;
  }

  LoadedConfig loaded_;
};

void Loader::read_file(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code failure;
  if (!std::filesystem::is_regular_file(path, failure)) {
    wrong(ErrorCode::kNotFound, name + ": no such file; 'sluice config init' prints one to start from");
    return;
  }
  if (access(path.c_str(), R_OK) != 0) {
    wrong(ErrorCode::kIo, name + ": not readable; allow this user to read it");
    return;
  }
  if (std::filesystem::file_size(path, failure) > kLargestFile) {
    wrong(ErrorCode::kConfigInvalid, name + ": larger than 1 MiB; name a configuration file");
    return;
  }
  const toml::parse_result parsed = toml::parse_file(name);
  if (!parsed) {
    const toml::source_position at = parsed.error().source().begin;
    wrong(ErrorCode::kConfigInvalid, name + ":" + std::to_string(at.line) + ": not TOML: " +
                                         std::string(parsed.error().description()) + "; correct this line");
    return;
  }
  read_table(name, "", parsed.table());
}

void Loader::read_table(const std::string& file, std::string_view section, const toml::table& table) {
  for (const auto& [name, node] : table) {
    const std::string place = "file " + file + ":" + std::to_string(node.source().begin.line);
    const std::string key =
        section.empty() ? std::string(name.str()) : std::string(section) + "." + std::string(name.str());
    if (section.empty() && node.is_table()) {
      const bool known = std::any_of(kFields.begin(), kFields.end(),
                                     [&](const Field& field) { return field.key.starts_with(key + "."); });
      if (known || !node.as_table()->empty()) read_table(file, key, *node.as_table());
      if (!known && node.as_table()->empty()) unknown(place, key);
    } else {
      read_value(place, key, node);
    }
  }
}

void Loader::read_value(const std::string& place, std::string_view key, const toml::node& node) {
  const Field* field = find_field(key);
  if (field == nullptr) return unknown(place, key);
  std::optional<std::string> text;
  if (const auto* word = node.as_string(); word != nullptr && is_text(*field)) {
    text = word->get();
  } else if (const auto* truth = node.as_boolean(); truth != nullptr && is_truth(*field)) {
    text = truth->get() ? "true" : "false";
  } else if (const auto* number = node.as_integer();
             number != nullptr && !is_text(*field) && !is_list(*field) && !is_truth(*field)) {
    text = std::to_string(number->get());
  } else if (const auto* list = node.as_array(); list != nullptr && is_list(*field)) {
    text = "";
    for (const toml::node& entry : *list) {
      if (!entry.is_string())
        return wrong(ErrorCode::kConfigInvalid,
                     place + ": " + std::string(key) + " has an entry that is no text; use a list of texts");
      if (!text->empty()) *text += ',';
      *text += entry.as_string()->get();
    }
  }
  if (!text) {
    return wrong(ErrorCode::kConfigInvalid, place + ": " + std::string(key) + " has a value of another type; use " +
                                                std::string(type_name(*field)));
  }
  set(*field, *text, place);
}

void Loader::read_environment(const std::vector<std::pair<std::string, std::string>>& environment) {
  for (const auto& [name, value] : environment) {
    if (!name.starts_with("SLUICE_")) continue;
    const Field* exact = nullptr;
    const Field* meant = nullptr;  // as written with one underscore
    for (const Field& field : kFields) {
      std::string full = environment_name(field.key);
      if (full == name) exact = &field;
      if (full.replace(full.find("__"), 2, "_") == name) meant = &field;
    }
    const std::string place = "environment " + name;
    if (exact != nullptr) {
      set(*exact, value, place);
    } else if (meant != nullptr) {
      wrong(ErrorCode::kUnknownKey,
            place + ": unknown key; did you mean '" + environment_name(meant->key) + "' (two underscores)?");
    } else if (name.find("__") != std::string::npos) {
      std::string key = name.substr(std::string_view("SLUICE_").size());
      for (char& letter : key) letter = static_cast<char>(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
      key.replace(key.find("__"), 2, ".");
      unknown(place, key);
    }  // others are not ours to judge: build and test scripts have SLUICE_ variables of their own
  }
}

void Loader::read_settings(const std::vector<std::string>& settings) {
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      wrong(ErrorCode::kConfigInvalid, "--set " + shown(setting) + ": write it as section.key=value");
      continue;
    }
    const std::string_view key = std::string_view(setting).substr(0, equals);
    const Field* field = find_field(key);
    if (field == nullptr) {
      unknown("--set", key);
    } else {
      set(*field, std::string_view(setting).substr(equals + 1), "--set");
    }
  }
}

bool Loader::assign(const Field& field, std::string_view text, const std::string& place) {
  if (is_text(field) || is_list(field)) return assign_words(field, text, place);
  if (is_truth(field)) {
    if (text != "true" && text != "false") {
      wrong(ErrorCode::kConfigInvalid,
            place + ": " + std::string(field.key) + " is " + shown(text) + "; use true or false");
      return false;
    }
    loaded_.config.*std::get<bool Config::*>(field.target) = text == "true";
    return true;
  }
  return assign_number(field, text, place);
}

bool Loader::assign_words(const Field& field, std::string_view text, const std::string& place) {
  const std::vector<std::string_view> words = split(field.words, ' ');
  const std::vector<std::string_view> pieces = is_list(field) ? split(text, ',') : std::vector{text};
  for (const std::string_view piece : pieces) {
    if (words.empty() || std::find(words.begin(), words.end(), piece) != words.end()) continue;
    std::string allowed(field.words);
    std::replace(allowed.begin(), allowed.end(), ' ', '|');
    wrong(ErrorCode::kConfigInvalid,
          place + ": " + std::string(field.key) + " is " + shown(piece) + "; use " + allowed);
    return false;
  }
  if (text.size() > kLongestText || text.find('\0') != std::string_view::npos ||
      text.find('\n') != std::string_view::npos) {
    wrong(ErrorCode::kConfigInvalid, place + ": " + std::string(field.key) + " must be one line of at most 4096 bytes");
    return false;
  }
  if (is_list(field)) {
    loaded_.config.*std::get<std::vector<std::string> Config::*>(field.target) = {pieces.begin(), pieces.end()};
  } else {
    loaded_.config.*std::get<std::string Config::*>(field.target) = text;
  }
  return true;
}

/// Puts a number into whichever quantity the field has.
struct PutNumber {
  Config& config;
  std::uint64_t number;

  template <typename Count>
  void operator()(Count Config::*member) const {
    if constexpr (std::is_constructible_v<Count, std::uint64_t> && !std::is_same_v<Count, bool>) {
      config.*member = Count(number);
    }
  }
  void operator()(std::vector<std::string> Config::*) const {}
  void operator()(Milliseconds field) const {
    config.*field.member = std::chrono::milliseconds(static_cast<std::int64_t>(number));
  }
  void operator()(Nanoseconds field) const { config.*field.member = Duration(static_cast<std::int64_t>(number)); }
};

bool Loader::assign_number(const Field& field, std::string_view text, const std::string& place) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = failure == std::errc() && end == text.data() + text.size();
  if (!whole || number < field.least || number > field.most) {
    wrong(ErrorCode::kConfigInvalid, place + ": " + std::string(field.key) + " is " + shown(text) +
                                         "; use a whole number from " + std::to_string(field.least) + " to " +
                                         std::to_string(field.most));
    return false;
  }
  std::visit(PutNumber{loaded_.config, number}, field.target);
  return true;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> process_environment() {
  std::vector<std::pair<std::string, std::string>> found;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (!text.starts_with("SLUICE_") || equals == std::string_view::npos) continue;
    found.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return found;
}

LoadedConfig load_config(const ConfigSources& sources) {
  Loader loader;
  if (sources.file) loader.read_file(*sources.file);
  loader.read_environment(sources.environment);
  loader.read_settings(sources.settings);
  return loader.finish();
}

std::vector<std::string_view> config_keys() {
  std::vector<std::string_view> keys;
  for (const Field& field : kFields) keys.push_back(field.key);
  return keys;
}

std::string config_template() {
  std::string text = "# sluice.toml: every key at its default. Keys end in their unit.\n";
  std::string_view section;
  for (const Field& field : kFields) {
    const std::size_t dot = field.key.find('.');
    if (field.key.substr(0, dot) != section) {
      section = field.key.substr(0, dot);
      text += "\n[" + std::string(section) + "]\n";
    }
    std::string value(field.fallback);
    if (is_text(field)) value = "\"" + value + "\"";
    if (is_list(field)) {
      value.clear();
      for (const std::string_view piece : split(field.fallback, ',')) {
        value += (value.empty() ? "\"" : ", \"") + std::string(piece) + "\"";
      }
      value = "[" + value + "]";
    }
    text += "# " + std::string(field.doc) + (field.words.empty() ? "" : " (" + std::string(field.words) + ")") + "\n";
    text += std::string(field.key.substr(dot + 1)) + " = " + value + "\n";
  }
  return text;
}

}  // namespace sluice::integration
