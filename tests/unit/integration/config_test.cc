// Laws of configuration: every key can be given in each of four places, later places win, and nothing that is wrong
// passes or goes unexplained.
#include "integration/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

namespace sluice::integration {
namespace {

using testing::HasSubstr;

/// Another allowed value of each key than its default; `toml` is how a file writes it.
struct Other {
  const char* key;
  const char* text;
  const char* toml;
};
constexpr Other kOthers[] = {
    {"node.name", "p1", "\"p1\""},
    {"node.role", "prefill", "\"prefill\""},
    {"listen.data", "127.0.0.1:9001", "\"127.0.0.1:9001\""},
    {"listen.admin", "127.0.0.1:9002", "\"127.0.0.1:9002\""},
    {"listen.allow_insecure", "true", "true"},
    {"discovery.peers", "10.0.0.2:7411,d2:7411", "[\"10.0.0.2:7411\", \"d2:7411\"]"},
    {"tls.certificate", "node.pem", "\"node.pem\""},
    {"tls.key", "node.key", "\"node.key\""},
    {"tls.ca", "ca.pem", "\"ca.pem\""},
    {"tls.allowed_names", "p1,d1", "[\"p1\", \"d1\"]"},
    {"tls.allow_plain_ucx", "true", "true"},
    {"transport.prefer", "ucx", "\"ucx\""},
    {"transport.shm_any_user", "true", "true"},
    {"transport.shm_spin_ns", "50000", "50000"},
    {"transport.heartbeat_ms", "250", "250"},
    {"memory.ring_bytes", "1048577", "1_048_577"},
    {"memory.store_bytes", "5", "5"},
    {"memory.planes_bytes", "1048578", "1048578"},
    {"codec.group_layers", "3", "3"},
    {"codec.profile", "model.slp", "\"model.slp\""},
    {"codec.level", "fine", "\"fine\""},
    {"codec.parts", "raw,nested", "[\"raw\", \"nested\"]"},
    {"planner.policy", "fixed:base+r1", "\"fixed:base+r1\""},
    {"planner.nominal_bits_per_second", "50000000", "50000000"},
    {"planner.nominal_is_trusted", "true", "true"},
    {"planner.quality_floor_ppm", "900000", "900000"},
    {"planner.quality_target_ppm", "990000", "990000"},
    {"planner.deadline_ms", "500", "500"},
    {"planner.decision_log", "/d/x.sdl", "\"/d/x.sdl\""},
    {"planner.decision_log_bytes", "65537", "65_537"},
    {"engine.kind", "recorded", "\"recorded\""},
    {"engine.model", "/m/x.gguf", "\"/m/x.gguf\""},
    {"engine.context_tokens", "2048", "2048"},
    {"engine.prefill_ns_per_token", "7", "7"},
};

std::string environment_of(std::string key) {
  key.replace(key.find('.'), 1, "__");
  std::transform(key.begin(), key.end(), key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return "SLUICE_" + key;
}

std::filesystem::path file_with(const std::string& text) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  auto path = std::filesystem::path(testing::TempDir()) / (std::string(test->name()) + ".toml");
  std::ofstream(path) << text;
  return path;
}

std::string toml_of(const Other& other) {
  const std::string key = other.key;
  const std::size_t dot = key.find('.');
  return "[" + key.substr(0, dot) + "]\n" + key.substr(dot + 1) + " = " + other.toml + "\n";
}

const ConfigOrigin& origin_of(const LoadedConfig& loaded, std::string_view key) {
  return *std::find_if(loaded.origins.begin(), loaded.origins.end(), [&](const auto& row) { return row.key == key; });
}

/// Some keys alone break a rule: what is said beside them.
std::vector<std::string> companions_of(const Other& other) {
  const std::string_view key = other.key;
  if (key == "engine.model") return {"engine.kind=llama_cpp"};
  if (!key.starts_with("tls.") || key == "tls.allow_plain_ucx") return {};
  std::vector<std::string> rest;
  for (const std::string_view file : {"tls.certificate", "tls.key", "tls.ca"}) {
    if (file != key) rest.push_back(std::string(file) + "=file.pem");
  }
  return rest;
}

TEST(Config, DefaultsHold) {
  const LoadedConfig loaded = load_config({});
  EXPECT_TRUE(loaded.problems.empty());
  EXPECT_EQ(loaded.config.listen_data, "127.0.0.1:7411");
  EXPECT_EQ(loaded.config.transport_heartbeat, std::chrono::milliseconds(100));
  EXPECT_EQ(loaded.config.engine_prefill_per_token, std::chrono::milliseconds(1));
}

TEST(Config, EveryKeyHasACase) {
  EXPECT_EQ(std::size(kOthers), config_keys().size());
  for (const Other& other : kOthers) EXPECT_THAT(config_keys(), testing::Contains(other.key));
}

TEST(Config, EveryKeyComesFromFile) {
  for (const Other& other : kOthers) {
    const LoadedConfig loaded = load_config({file_with(toml_of(other)), {}, companions_of(other)});
    ASSERT_TRUE(loaded.problems.empty()) << other.key << ": " << loaded.problems.front().message;
    EXPECT_EQ(origin_of(loaded, other.key).value, other.text);
    EXPECT_THAT(origin_of(loaded, other.key).origin, HasSubstr(".toml:2")) << other.key;
  }
}

TEST(Config, EveryKeyComesFromEnvironment) {
  for (const Other& other : kOthers) {
    const LoadedConfig loaded = load_config({{}, {{environment_of(other.key), other.text}}, companions_of(other)});
    ASSERT_TRUE(loaded.problems.empty()) << other.key << ": " << loaded.problems.front().message;
    EXPECT_EQ(origin_of(loaded, other.key).value, other.text);
    EXPECT_EQ(origin_of(loaded, other.key).origin, "environment " + environment_of(other.key));
  }
}

TEST(Config, EveryKeyComesFromSettings) {
  for (const Other& other : kOthers) {
    std::vector<std::string> settings = companions_of(other);
    settings.push_back(std::string(other.key) + "=" + other.text);
    const LoadedConfig loaded = load_config({{}, {}, settings});
    ASSERT_TRUE(loaded.problems.empty()) << other.key << ": " << loaded.problems.front().message;
    EXPECT_EQ(origin_of(loaded, other.key).value, other.text);
    EXPECT_EQ(origin_of(loaded, other.key).origin, "--set");
  }
}

TEST(Config, LaterPlacesWin) {
  const auto file = file_with("[node]\nname = \"file\"\n");
  EXPECT_EQ(load_config({file, {}, {}}).config.node_name, "file");
  EXPECT_EQ(load_config({file, {{"SLUICE_NODE__NAME", "env"}}, {}}).config.node_name, "env");
  EXPECT_EQ(load_config({file, {{"SLUICE_NODE__NAME", "env"}}, {"node.name=set"}}).config.node_name, "set");
}

TEST(Config, TemplateIsItselfValidAndSaysTheDefaults) {
  const LoadedConfig loaded = load_config({file_with(config_template()), {}, {}});
  ASSERT_TRUE(loaded.problems.empty()) << loaded.problems.front().message;
  const LoadedConfig defaults = load_config({});
  for (std::size_t row = 0; row < loaded.origins.size(); ++row) {
    EXPECT_EQ(loaded.origins[row].value, defaults.origins[row].value);
  }
}

TEST(Config, UnknownKeyNamesTheNearest) {
  const auto message = [](const ConfigSources& sources) {
    const LoadedConfig loaded = load_config(sources);
    EXPECT_EQ(loaded.problems.size(), 1U);
    EXPECT_EQ(loaded.problems.front().code, ErrorCode::kUnknownKey);
    return loaded.problems.front().message;
  };
  EXPECT_THAT(message({{}, {}, {"planner.deadline=5"}}), HasSubstr("'planner.deadline_ms'"));
  EXPECT_THAT(message({{}, {{"SLUICE_NODE__NAM", "x"}}, {}}), HasSubstr("'node.name'"));
  EXPECT_THAT(message({{}, {{"SLUICE_NODE_NAME", "x"}}, {}}), HasSubstr("SLUICE_NODE__NAME"));
  EXPECT_THAT(message({file_with("[memory]\nring = 5\n"), {}, {}}), HasSubstr("'memory.ring_bytes'"));
  EXPECT_THAT(message({{}, {}, {"zzzzzzzzzzzz=1"}}), HasSubstr("config explain"));
}

TEST(Config, ForeignVariablesAreLeftAlone) {
  EXPECT_TRUE(load_config({{}, {{"SLUICE_CACHE", "x"}, {"PATH", "y"}}, {}}).problems.empty());
}

class WrongSetting : public testing::TestWithParam<const char*> {};

TEST_P(WrongSetting, IsOneLineThatNamesTheKey) {
  const std::string setting = GetParam();
  const LoadedConfig loaded = load_config({{}, {}, {setting}});
  ASSERT_EQ(loaded.problems.size(), 1U) << setting;
  const std::string& message = loaded.problems.front().message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_THAT(message, HasSubstr(setting.substr(0, setting.find('='))));
  EXPECT_THAT(message, testing::ContainsRegex("use|write|set|give|name|choose|lower|remove|did you mean|see"))
      << message;
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongSetting,
    testing::Values("node.name=", "node.role=master", "node.role=Prefill", "listen.data=", "listen.data=7411",
                    "listen.data=127.0.0.1", "listen.data=127.0.0.1:99999", "listen.data=127.0.0.1:-1",
                    "listen.data=0.0.0.0:7411", "listen.data=10.1.2.3:7411", "listen.data=127.evil.org:7411",
                    "listen.admin=0.0.0.0:7412", "listen.admin=[::]:7412", "listen.admin=127.0.0.1:7411",
                    "listen.allow_insecure=yes", "tls.certificate=node.pem", "tls.key=node.key", "tls.ca=ca.pem",
                    "tls.allowed_names=p1", "tls.allow_plain_ucx=1", "discovery.peers=d1", "discovery.peers=d1:0",
                    "discovery.peers=127.0.0.1:7411", "discovery.peers=d1:1,d1:1", "transport.prefer=rdma",
                    "transport.heartbeat_ms=0", "transport.heartbeat_ms=1s", "transport.heartbeat_ms=-5",
                    "transport.heartbeat_ms=99999999999999999999", "memory.ring_bytes=64MiB", "memory.ring_bytes=1",
                    "memory.planes_bytes=0", "codec.group_layers=0", "codec.parts=", "codec.parts=raw,gzip",
                    "planner.policy=best", "planner.policy=fixed:", "planner.policy=fixed:base+",
                    "planner.nominal_bits_per_second=0", "planner.nominal_is_trusted=1",
                    "planner.quality_floor_ppm=1000001", "planner.quality_target_ppm=0.9", "planner.deadline_ms=0",
                    "engine.kind=vllm", "engine.kind=llama_cpp", "engine.model=/m/x.gguf",
                    "engine.context_tokens=many"));

TEST(Config, TlsOpensTheDataPortAloneAndKeepsUcxOut) {
  const auto problems = [](std::vector<std::string> settings) {
    settings.insert(settings.end(), {"tls.certificate=c.pem", "tls.key=k.pem", "tls.ca=a.pem"});
    return load_config({{}, {}, settings}).problems.size();
  };
  EXPECT_EQ(problems({"listen.data=0.0.0.0:7411"}), 0U);
  EXPECT_EQ(problems({"listen.admin=0.0.0.0:7412"}), 1U);
  EXPECT_EQ(problems({"transport.prefer=ucx"}), 1U);
  EXPECT_EQ(problems({"transport.prefer=ucx", "tls.allow_plain_ucx=true"}), 0U);
}

TEST(Config, FilesOfOtherKindsAreRefused) {
  EXPECT_EQ(load_config({"/nonexistent/sluice.toml", {}, {}}).problems.size(), 1U);
  EXPECT_EQ(load_config({"/tmp", {}, {}}).problems.size(), 1U);
  EXPECT_EQ(load_config({file_with("node = ["), {}, {}}).problems.size(), 1U);
  EXPECT_EQ(load_config({file_with("[node]\nname = 5\n"), {}, {}}).problems.size(), 1U);
  EXPECT_EQ(load_config({file_with("node = 5\n"), {}, {}}).problems.size(), 1U);
  EXPECT_EQ(load_config({file_with("[discovery]\npeers = [5]\n"), {}, {}}).problems.size(), 1U);
}

}  // namespace
}  // namespace sluice::integration
