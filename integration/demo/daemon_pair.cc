#include "integration/demo/daemon_pair.h"

#include <fmt/format.h>
#include <csignal>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "integration/http_client.h"

namespace sluice::integration::demo {

namespace {

constexpr Duration kReadyLimit = std::chrono::seconds(30);
constexpr Duration kLook = std::chrono::milliseconds(50);
constexpr Duration kGrace = std::chrono::seconds(3);
/// A raw hand-over of the longest prompt over the slowest link of the demo, three times over.
constexpr Duration kAnswerLimit = std::chrono::seconds(180);
constexpr Duration kShortLimit = std::chrono::seconds(5);
constexpr std::size_t kMetricLines = 12;

/// The daemon's configuration: what the demo sets, everything else as the daemon has it.
std::string configuration(const std::string& role, const DaemonPlace& place, const std::string& peer,
                          const DaemonOptions& options) {
  // allow_insecure: in a namespace of our own the addresses are not the loopback's, and nobody else is there.
  std::string text = fmt::format(
      "[node]\nname = \"demo-{0}\"\nrole = \"{0}\"\n\n[listen]\ndata = \"{1}\"\nadmin = \"{2}\"\nallow_insecure = "
      "true\n",
      role, place.data_listen, place.admin_listen);
  text += "\n[transport]\nprefer = \"tcp\"\n";  // shared memory would pass by the emulated link
  if (!peer.empty()) text += fmt::format("\n[discovery]\npeers = [\"{}\"]\n", peer);
  text += fmt::format("\n[engine]\nkind = \"{}\"\n", options.model.empty() ? "recorded" : "llama_cpp");
  // JSON's string escapes are TOML's.
  if (!options.model.empty()) text += "model = " + nlohmann::json(options.model).dump() + "\n";
  if (!options.profile.empty()) text += "\n[codec]\nprofile = " + nlohmann::json(options.profile).dump() + "\n";
  return text;
}

Result<void> write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) return Error{ErrorCode::kIo, 0, "configuration of a daemon"};
  return {};
}

/// One call of a daemon's admin port. An answer of any status is one: that of a refused request says why.
Result<std::string> ask_daemon(const std::string& admin, HttpRequest request, Duration deadline) {
  SLUICE_ASSIGN(const Address address, parse_address(admin));
  SLUICE_ASSIGN(const HttpResponse response, call_http({address, std::move(request), deadline}));
  if (response.status / 100 != 2 && !response.body.starts_with('{')) {
    return Error{ErrorCode::kRejected, response.status, "daemon's admin port"};
  }
  return response.body;
}

/// The last line of a daemon's log: why it ended, as it said itself.
std::string last_line(const std::filesystem::path& log) {
  std::ifstream file(log);
  std::string last = "no word in its log";
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) last = line;
  }
  return last;
}

/// Waits until the daemon says that it is ready.
Result<void> wait_until_ready(ChildProcess& daemon, const std::string& admin, const std::stop_token& stop) {
  SLUICE_ASSIGN(const Address address, parse_address(admin));
  for (Duration waited{0}; waited < kReadyLimit; waited += kLook) {
    if (stop.stop_requested()) return Error{ErrorCode::kAborted, 0, "start of a daemon"};
    if (!daemon.is_running()) return Error{ErrorCode::kPeerLost, 0, "start of a daemon"};
    const Result<HttpResponse> answer = call_http({address, {"GET", "/readyz", ""}, std::chrono::seconds(1)});
    if (answer && answer->status == 200) return {};
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

DaemonPair::~DaemonPair() {
  end_daemon(decode_, decode_number_);
  end_daemon(prefill_, prefill_number_);
}

Result<std::unique_ptr<DaemonPair>> DaemonPair::start(DaemonOptions options, std::unique_ptr<LinkEmulator> link,
                                                      std::stop_token stop) {
  std::unique_ptr<DaemonPair> pair(new DaemonPair(std::move(options), std::move(link), std::move(stop)));
  SLUICE_ASSIGN(pair->prefill_, pair->start_daemon("prefill", pair->link_->prefill(), pair->prefill_number_));
  return pair;
}

Result<ChildProcess> DaemonPair::start_daemon(const std::string& role, const DaemonPlace& place,
                                              ProcessNumber& number) {
  const std::filesystem::path config = options_.folder / (role + ".toml");
  const std::filesystem::path log = options_.folder / (role + ".log");
  const std::string peer = role == "decode" ? link_->prefill_over_link() : "";
  SLUICE_TRY(write_file(config, configuration(role, place, peer, options_)));
  std::vector<std::string> command = place.launch;
  if (has_program("setpriv")) command.insert(command.end(), {"setpriv", "--pdeathsig", "TERM", "--"});
  command.insert(command.end(), {options_.self, "serve", "--config", config.string()});
  SLUICE_ASSIGN(ChildProcess daemon, ChildProcess::start(command, log));
  number = daemon.pid();
  const Result<void> ready = wait_until_ready(daemon, place.admin_listen, stop_);
  if (ready) return daemon;
  if (ready.error().code != ErrorCode::kAborted) {
    options_.say(fmt::format("the {} daemon did not become ready: {}", role, last_line(log)));
  }
  end_daemon(daemon, number);
  return ready.error();
}

void DaemonPair::end_daemon(ChildProcess& daemon, ProcessNumber& number) {
  number = 0;  // first: from here on the number may become another process's
  daemon.stop(kGrace);
}

void DaemonPair::kill_daemons() const {
  for (const ProcessNumber* number : {&prefill_number_, &decode_number_}) {
    if (const pid_t group = *number; group > 0) kill(-group, SIGKILL);
  }
}

Result<void> DaemonPair::use_link(BitsPerSecond rate) {
  end_daemon(decode_, decode_number_);
  SLUICE_TRY(link_->shape(rate));
  SLUICE_ASSIGN(decode_, start_daemon("decode", link_->decode(), decode_number_));
  return {};
}

Result<ArmResult> DaemonPair::ask(const ArmRequest& request) {
  if (stop_.stop_requested()) return Error{ErrorCode::kAborted, 0, "demo"};
  SLUICE_ASSIGN(const std::string body, ask_daemon(link_->decode().admin_listen,
                                                   {"POST", "/v1/requests", request_body(request)}, kAnswerLimit));
  SLUICE_ASSIGN(ArmResult answer, parse_answer(body));
  // What the sender knows (when its prefill ended) is on the sender; an answer without it is still an answer.
  const Result<std::string> sender = ask_daemon(
      link_->prefill().admin_listen, {"GET", fmt::format("/v1/requests/{}", answer.request), ""}, kShortLimit);
  if (sender && request.mode != "recompute") add_sender(*sender, answer);
  return answer;
}

std::string DaemonPair::engine() {
  const Result<std::string> body = ask_daemon(link_->decode().admin_listen, {"GET", "/v1/status", ""}, kShortLimit);
  if (!body) return "unknown";
  const nlohmann::json status = nlohmann::json::parse(*body, nullptr, false);
  const auto found = status.is_object() ? status.find("engine") : status.end();
  return found != status.end() && found->is_string() ? found->get<std::string>() : "unknown";
}

void DaemonPair::read_metrics(DemoResults& results) {
  for (const auto& [role, place] : {std::pair{"prefill", link_->prefill()}, std::pair{"decode", link_->decode()}}) {
    const Result<std::string> text = ask_daemon(place.admin_listen, {"GET", "/metrics", ""}, kShortLimit);
    if (text) results.metrics[role] = shown_metrics(*text);
  }
}

}  // namespace sluice::integration::demo
