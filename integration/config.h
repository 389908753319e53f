// What a node is told, from four places, later ones winning: defaults < TOML file < environment SLUICE_SECTION__KEY <
// `--set section.key=value`. One table (config.cc) of key, type, default and meaning drives all four, the messages, and
// `sluice config init|check|explain`.
// Invariants: an unknown key is an error that names the nearest one; a key with a unit ends in it; where each value
// came from is kept. This is the only file of the tree that reads the environment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/quantity.h"

namespace sluice::integration {

/// Every value of the table, typed. Words (role, prefer, kind ...) are checked against their list.
struct Config {
  std::string node_name;
  std::string node_role;
  std::string listen_data;
  std::string listen_admin;
  bool listen_allow_insecure = false;
  std::vector<std::string> discovery_peers;
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_ca;
  std::vector<std::string> tls_allowed_names;
  bool tls_allow_plain_ucx = false;
  std::string transport_prefer;
  bool transport_shm_any_user = false;
  Duration transport_shm_spin{0};
  Duration transport_heartbeat{0};
  Bytes memory_ring;
  Bytes memory_store;
  Bytes memory_planes;
  Layers codec_group_layers;
  std::string codec_profile;
  std::string codec_level;
  std::vector<std::string> codec_parts;
  std::string planner_policy;
  BitsPerSecond planner_nominal_rate;
  bool planner_nominal_is_trusted = false;
  PartsPerMillion planner_quality_floor;
  PartsPerMillion planner_quality_target;
  Duration planner_deadline{0};
  std::string planner_decision_log;
  Bytes planner_decision_log_size;
  std::string engine_kind;
  std::string engine_model;
  Tokens engine_context;
  Duration engine_prefill_per_token{0};
};

/// Where values come from, besides the defaults.
struct ConfigSources {
  std::optional<std::filesystem::path> file;
  /// Names and values; only names that start with SLUICE_ are looked at.
  std::vector<std::pair<std::string, std::string>> environment;
  /// "section.key=value" each, from --set.
  std::vector<std::string> settings;
};

/// The SLUICE_ variables of this process.  Threads: none may change the environment meanwhile.
std::vector<std::pair<std::string, std::string>> process_environment();

/// One thing that is wrong: a single line that names the place and says what to do.
struct ConfigProblem {
  ErrorCode code = ErrorCode::kConfigInvalid;
  std::string message;
};

/// One row of `config explain`.
struct ConfigOrigin {
  std::string_view key;
  std::string value;
  /// "default", "file PATH:LINE", "environment NAME", or "--set".
  std::string origin;
  std::string_view doc;
};

/// What load_config() made; `config` is to be used only when `problems` is empty.
struct LoadedConfig {
  Config config;
  std::vector<ConfigOrigin> origins;
  std::vector<ConfigProblem> problems;
};

/// Reads all sources and checks every value and how they fit together. Never throws; finds all problems at once.
/// Threads: pure but for reading the file.
LoadedConfig load_config(const ConfigSources& sources);

/// All keys, in the table's order.  Threads: pure.
std::vector<std::string_view> config_keys();

/// A commented file with every key at its default, for `config init`.  Threads: pure.
std::string config_template();

}  // namespace sluice::integration
