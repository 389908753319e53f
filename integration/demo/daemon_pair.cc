#include "integration/demo/daemon_pair.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "integration/demo/daemon_client.h"

namespace sluice::integration::demo {

namespace {

constexpr Duration kReadyLimit = std::chrono::seconds(30);
constexpr Duration kLook = std::chrono::milliseconds(50);
constexpr Duration kGrace = std::chrono::seconds(3);
/// A raw hand-over of the longest prompt over the slowest link of the demo, three times over.
constexpr Duration kAnswerLimit = std::chrono::seconds(180);
constexpr std::size_t kMetricLines = 12;

/// The daemon's configuration: what the demo sets, everything else as the daemon has it.
std::string configuration(const std::string& role, const DaemonPlace& place, const std::string& peer,
                          const std::string& model) {
  // allow_insecure: in a namespace of our own the addresses are not the loopback's, and nobody else is there.
  std::string text = fmt::format(
      "[node]\nname = \"demo-{0}\"\nrole = \"{0}\"\n\n[listen]\ndata = \"{1}\"\nadmin = \"{2}\"\nallow_insecure = "
      "true\n",
      role, place.data_listen, place.admin_listen);
  if (!peer.empty()) text += fmt::format("\n[discovery]\npeers = [\"{}\"]\n", peer);
  text += fmt::format("\n[engine]\nkind = \"{}\"\n", model.empty() ? "recorded" : "llama_cpp");
  // JSON's string escapes are TOML's.
  if (!model.empty()) text += "model = " + nlohmann::json(model).dump() + "\n";
  return text;
}

Result<void> write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) return Error{ErrorCode::kIo, 0, "configuration of a daemon"};
  return {};
}

/// Waits until the daemon says that it is ready.
Result<void> wait_until_ready(ChildProcess& daemon, const std::string& admin, const std::stop_token& stop) {
  for (Duration waited{0}; waited < kReadyLimit; waited += kLook) {
    if (stop.stop_requested()) return Error{ErrorCode::kAborted, 0, "start of a daemon"};
    if (!daemon.is_running()) return Error{ErrorCode::kPeerLost, 0, "start of a daemon"};
    if (ask_daemon({.address = admin, .path = "/readyz", .limit = std::chrono::seconds(1)})) return {};
    std::this_thread::sleep_for(kLook);
  }
  return Error{ErrorCode::kPeerSilent, 0, "start of a daemon"};
}

/// Series that tell of transfers, without comments and zeros.
std::vector<std::string> shown_metrics(const std::string& text) {
  std::vector<std::string> shown;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && shown.size() < kMetricLines;) {
    const bool wanted = line.starts_with("sluice_bytes_total") || line.starts_with("sluice_decisions_total") ||
                        line.starts_with("sluice_transfers_total") || line.starts_with("sluice_slo_missed_total");
    if (wanted && !line.ends_with(" 0")) shown.push_back(line);
  }
  return shown;
}

}  // namespace

Result<std::unique_ptr<DaemonPair>> DaemonPair::start(DaemonOptions options, std::unique_ptr<LinkEmulator> link,
                                                      std::stop_token stop) {
  std::unique_ptr<DaemonPair> pair(new DaemonPair(std::move(options), std::move(link), std::move(stop)));
  SLUICE_ASSIGN(pair->prefill_, pair->start_daemon("prefill", pair->link_->prefill()));
  return pair;
}

Result<ChildProcess> DaemonPair::start_daemon(const std::string& role, const DaemonPlace& place) {
  const std::filesystem::path config = options_.folder / (role + ".toml");
  const std::string peer = role == "decode" ? link_->prefill_over_link() : "";
  SLUICE_TRY(write_file(config, configuration(role, place, peer, options_.model)));
  std::vector<std::string> command = place.launch;
  if (has_program("setpriv")) command.insert(command.end(), {"setpriv", "--pdeathsig", "TERM", "--"});
  command.insert(command.end(), {options_.self, "serve", "--config", config.string()});
  SLUICE_ASSIGN(ChildProcess daemon, ChildProcess::start(command, options_.folder / (role + ".log")));
  SLUICE_TRY(wait_until_ready(daemon, place.admin_listen, stop_));
  return daemon;
}

Result<void> DaemonPair::use_link(BitsPerSecond rate) {
  decode_.stop(kGrace);
  SLUICE_TRY(link_->shape(rate));
  SLUICE_ASSIGN(decode_, start_daemon("decode", link_->decode()));
  return {};
}

Result<ArmResult> DaemonPair::ask(const ArmRequest& request) {
  SLUICE_ASSIGN(const std::string body, ask_daemon({.address = link_->decode().admin_listen,
                                                    .method = "POST",
                                                    .path = "/v1/requests",
                                                    .body = request_body(request),
                                                    .limit = kAnswerLimit,
                                                    .stop = stop_}));
  SLUICE_ASSIGN(ArmResult answer, parse_answer(body));
  // What the sender knows (when its prefill ended) is on the sender; an answer without it is still an answer.
  const Result<std::string> sender = ask_daemon({.address = link_->prefill().admin_listen,
                                                 .path = fmt::format("/v1/requests/{}", answer.request),
                                                 .stop = stop_});
  if (sender && request.mode != "recompute") add_sender(*sender, answer);
  return answer;
}

std::string DaemonPair::engine() {
  const Result<std::string> body =
      ask_daemon({.address = link_->decode().admin_listen, .path = "/v1/status", .stop = stop_});
  if (!body) return "unknown";
  const nlohmann::json status = nlohmann::json::parse(*body, nullptr, false);
  const auto found = status.is_object() ? status.find("engine") : status.end();
  return found != status.end() && found->is_string() ? found->get<std::string>() : "unknown";
}

void DaemonPair::read_metrics(DemoResults& results) {
  for (const auto& [role, place] : {std::pair{"prefill", link_->prefill()}, std::pair{"decode", link_->decode()}}) {
    const Result<std::string> text = ask_daemon({.address = place.admin_listen, .path = "/metrics", .stop = stop_});
    if (text) results.metrics[role] = shown_metrics(*text);
  }
}

}  // namespace sluice::integration::demo
