// `sluice doctor`: what of this machine helps or hinders a node, each line with what to do about it.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "integration/address.h"
#include "integration/beast.h"
#include "integration/programs/command_line.h"
#include "integration/programs/node_setup.h"
#include "integration/programs/version.h"
#include "kernels/table.h"
#include "transport/tcp/tls.h"

namespace sluice::programs {
namespace {

constexpr std::int64_t kDaysToRenew = 14;

struct Finding {
  std::string topic;
  bool good = true;
  std::string text;
};

Finding kernels_finding() {
  std::string names;
  for (const kernels::KernelTable& table : kernels::available_kernels()) names += std::string(table.name) + " ";
  return {"kernels", true, names + "(best first)"};
}

Finding memlock_finding() {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return {"memlock", false, "cannot be read"};
  if (limit.rlim_cur == RLIM_INFINITY) return {"memlock", true, "unlimited"};
  return {"memlock", false,
          std::to_string(limit.rlim_cur) + " bytes: RDMA needs more, set LimitMEMLOCK=infinity; tcp does not care"};
}

Finding namespace_finding() {
  const bool has_tools = std::filesystem::exists("/sbin/tc") || std::filesystem::exists("/usr/sbin/tc");
  if (geteuid() != 0) return {"netns", false, "not root: the demo shapes its link with a forwarder instead"};
  if (!has_tools) return {"netns", false, "no tc: install iproute2; the demo uses a forwarder until then"};
  return {"netns", true, "root and tc are here: the demo can try a link of its own in network namespaces"};
}

Finding model_finding(const integration::Config& config) {
  if (config.engine_kind != "llama_cpp")
    return {"model", true, "engine.kind is " + config.engine_kind + ": none needed"};
  std::error_code ignored;
  const bool there = std::filesystem::is_regular_file(config.engine_model, ignored);
  return {"model", there, config.engine_model + (there ? " is there" : " is missing: './dev setup' fetches it")};
}

/// Of the certificate that the node would show to its peers.
std::vector<Finding> tls_findings(const integration::Config& config) {
  const std::optional<transport::tcp::TlsOptions> tls = tls_options(config);
  if (!tls) return {{"tls", true, "off: data ports stay on this machine; see tls.* in 'sluice config explain'"}};
  const Result<transport::tcp::CertificateFacts> facts = transport::tcp::read_certificate(*tls);
  if (!facts) {
    const Error error = facts.error();
    return {{"tls", false,
             std::string(error_name(error.code)) + " (" + error.where + "): " + std::string(error_hint(error.code))}};
  }
  std::vector<Finding> findings = {{"tls", true, "key and certificate belong together"}};
  const auto days = std::chrono::duration_cast<std::chrono::hours>(facts->until_end).count() / 24;
  if (facts->until_start.count() > 0 || facts->until_end.count() < 0) {
    findings.push_back({"tls dates", false, "the certificate is not valid now: renew it, or correct the clock"});
  } else {
    const bool is_soon = days < kDaysToRenew;
    findings.push_back(
        {"tls dates", !is_soon, "valid for " + std::to_string(days) + " more days" + (is_soon ? ": renew it" : "")});
  }
  const bool is_named = std::find(facts->names.begin(), facts->names.end(), config.node_name) != facts->names.end();
  findings.push_back({"tls name", is_named,
                      is_named ? "the certificate carries node.name '" + config.node_name + "'"
                               : "the certificate lacks node.name '" + config.node_name +
                                     "' as a DNS name: make one that has it, or correct node.name"});
  findings.push_back({"tls ca", facts->is_signed,
                      facts->is_signed ? "the certificate is signed by an authority in tls.ca"
                                       : "no authority in tls.ca signed the certificate: peers with the same tls.ca "
                                         "will refuse it"});
  std::error_code failure;
  const auto mode = std::filesystem::status(tls->key, failure).permissions();
  const bool is_open =
      (mode & (std::filesystem::perms::group_all | std::filesystem::perms::others_all)) != std::filesystem::perms::none;
  findings.push_back({"tls key", !is_open,
                      is_open ? "other users can reach the private key: chmod 600 " + tls->key
                              : "only this user can reach the private key"});
  return findings;
}

Finding peer_finding(const std::string& peer, ExitCode& code) {
  const Result<integration::Address> address = integration::parse_address(peer);
  if (!address || address->port == 0) {
    code = ExitCode::kUsage;
    return {"peer", false, "'" + peer + "' is no host:port: write it as 10.0.0.2:7411"};
  }
  integration::asio::io_context loop;
  integration::asio::ip::tcp::resolver resolver(loop);
  integration::beast::tcp_stream stream(loop);
  bool connected = false;
  const MonotonicClock clock;
  Instant at;
  resolver.async_resolve(address->host, std::to_string(address->port), [&](const auto& failure, const auto& found) {
    if (failure) return;
    at = clock.now();
    stream.async_connect(found, [&](const auto& refused, const auto&) { connected = !refused; });
  });
  loop.run_for(std::chrono::seconds(3));
  if (!connected) {
    code = ExitCode::kUnreachable;
    return {"peer", false, peer + " is unreachable: start it, or correct its address"};
  }
  std::array<char, 64> text{};
  const double spent = std::chrono::duration<double, std::milli>(clock.now() - at).count();
  std::snprintf(text.data(), text.size(), " takes connections, %.2f ms", spent);
  return {"peer", true, peer + text.data()};
}

ExitCode examine(const ConfigArguments& arguments, const std::vector<std::string>& peers, bool json) {
  const std::optional<integration::LoadedConfig> loaded = load(arguments);
  if (!loaded) return ExitCode::kUsage;
  ExitCode code = ExitCode::kOk;
  std::vector<Finding> findings = {
      {"transport", true,
       build_facts().has_ucx ? "tcp and ucx are built in" : "tcp is built in; for ucx install libucx-dev and rebuild"},
      kernels_finding(),
      memlock_finding(),
      namespace_finding(),
      model_finding(loaded->config)};
  for (Finding& finding : tls_findings(loaded->config)) findings.push_back(std::move(finding));
  for (const std::string& peer : loaded->config.discovery_peers) findings.push_back(peer_finding(peer, code));
  for (const std::string& peer : peers) findings.push_back(peer_finding(peer, code));
  if (json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const Finding& row : findings) rows.push_back({{"topic", row.topic}, {"good", row.good}, {"text", row.text}});
    std::printf("%s\n", rows.dump().c_str());
  } else {
    for (const Finding& row : findings)
      std::printf("%s %-10s %s\n", row.good ? "ok" : "!!", row.topic.c_str(), row.text.c_str());
  }
  if (code != ExitCode::kOk)
    fail(code, findings.back().good ? "a peer is unreachable; see above" : findings.back().text);
  return code;
}

}  // namespace

void add_doctor_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("doctor", "what of this machine helps or hinders a node");
  const auto arguments = std::make_shared<ConfigArguments>();  // lives as long as the callback
  const auto peers = std::make_shared<std::vector<std::string>>();
  add_config_arguments(*command, *arguments);
  command->add_option("--peer", *peers, "host:port that must take connections")->allow_extra_args(false);
  command->callback([&invocation, arguments, peers] {
    invocation.run = [&invocation, arguments, peers] { return examine(*arguments, *peers, invocation.json); };
  });
}

}  // namespace sluice::programs
