#include "integration/config_rules.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "integration/address.h"
#include "scheduler/policy.h"

namespace sluice::integration {
namespace {

constexpr std::size_t kLongestName = 128;  // as a hello of the transport can carry
constexpr std::size_t kMostPeers = 256;

bool has_tls(const Config& config) { return !config.tls_certificate.empty(); }

/// `remedy`: what else would make it safe to be reached from elsewhere; empty when it may be.
void check_listener(std::string_view key, const std::string& text, std::string_view remedy,
                    std::vector<std::string>& wrong) {
  const Result<Address> address = parse_address(text);
  if (!address) {
    wrong.push_back(std::string(key) + " is '" + text + "'; write it as host:port, for instance 127.0.0.1:7411");
  } else if (!remedy.empty() && !is_loopback(*address)) {
    wrong.push_back(std::string(key) + " is '" + text + "', which others can reach without security; use 127.0.0.1, " +
                    std::string(remedy) + "or set listen.allow_insecure=true");
  }
}

void check_listeners(const Config& config, std::vector<std::string>& wrong) {
  const bool may_be_open = config.listen_allow_insecure;
  check_listener("listen.data", config.listen_data,
                 may_be_open || has_tls(config) ? "" : "set tls.certificate, tls.key and tls.ca, ", wrong);
  if (!config.listen_admin.empty()) {
    check_listener("listen.admin", config.listen_admin, may_be_open ? "" : "put a proxy before it, ", wrong);
  }
  const bool any_port = config.listen_data.ends_with(":0");
  if (config.listen_data == config.listen_admin && !any_port) {
    wrong.emplace_back("listen.data and listen.admin are the same; give them different ports");
  }
}

void check_tls(const Config& config, std::vector<std::string>& wrong) {
  if (has_tls(config) == config.tls_key.empty() || has_tls(config) == config.tls_ca.empty()) {
    wrong.emplace_back("tls.certificate, tls.key and tls.ca belong together; set all three, or none");
  } else if (!has_tls(config) && !config.tls_allowed_names.empty()) {
    wrong.emplace_back("tls.allowed_names is set without TLS; set tls.certificate, tls.key and tls.ca too");
  }
  if (has_tls(config) && config.transport_prefer == "ucx" && !config.tls_allow_plain_ucx) {
    wrong.emplace_back(
        "transport.prefer is 'ucx', which carries KV unencrypted although TLS is set; use auto or tcp, or set "
        "tls.allow_plain_ucx=true");
  }
}

void check_peers(const Config& config, std::vector<std::string>& wrong) {
  if (config.discovery_peers.size() > kMostPeers)
    wrong.emplace_back("discovery.peers has more than 256 entries; name fewer");
  std::set<std::string> seen;
  for (const std::string& peer : config.discovery_peers) {
    const Result<Address> address = parse_address(peer);
    if (!address || address->port == 0) {
      wrong.push_back("discovery.peers has '" + peer + "'; write each as host:port with a port of 1 to 65535");
    } else if (peer == config.listen_data) {
      wrong.push_back("discovery.peers has '" + peer + "', which is this node itself; remove it");
    }
    if (!seen.insert(peer).second) wrong.push_back("discovery.peers has '" + peer + "' twice; remove one");
  }
}

void check_engine(const Config& config, std::vector<std::string>& wrong) {
  if (config.engine_kind == "llama_cpp" && config.engine_model.empty()) {
    wrong.emplace_back(
        "engine.kind is 'llama_cpp' but engine.model is empty; set it to a GGUF file, './dev setup' fetches one");
  }
  if (config.engine_kind == "none" && !config.engine_model.empty()) {
    wrong.emplace_back(
        "engine.model is set but engine.kind is 'none'; set engine.kind=llama_cpp, or remove engine.model");
  }
}

}  // namespace

std::vector<std::string> check_config_rules(const Config& config) {
  std::vector<std::string> wrong;
  if (config.node_name.empty() || config.node_name.size() > kLongestName) {
    wrong.emplace_back("node.name must have 1 to 128 letters; choose a shorter or a longer one");
  }
  check_listeners(config, wrong);
  check_tls(config, wrong);
  check_peers(config, wrong);
  if (config.codec_parts.empty())
    wrong.emplace_back("codec.parts is empty; name at least one of raw, lossless, int8, nested");
  if (!scheduler::make_policy(config.planner_policy, {})) {
    wrong.push_back(
        "planner.policy is '" + config.planner_policy +
        "'; use sluice, cachegen, cachegen-artifact, kvserve, cake, lynx, hicache, raw, raw-fifo, raw-fair, "
        "raw-drop, lossless, int8, fp8, recompute or fixed:<part>[+<part>]");
  }
  if (config.planner_quality_floor > config.planner_quality_target) {
    wrong.emplace_back(
        "planner.quality_floor_ppm is above planner.quality_target_ppm; lower the floor or raise the target");
  }
  check_engine(config, wrong);
  return wrong;
}

}  // namespace sluice::integration
