// One node as a process of its own that a test drives by JSON lines and that dies or freezes at a chosen event. Its
// engine is the synthetic one, or llama.cpp's when "model" names a GGUF file. Its single argument is a JSON object (see
// Settings); it prints {"ready": "HOST:PORT"}, then answers one line per command of standard input: {"run": BODY, "id":
// N}, {"status": 1}, {"close": 1}. End of input = close.
#include <sys/prctl.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "integration/engines/llama_cpp/llama_engine.h"
#include "integration/node.h"
#include "kernels/table.h"
#include "tests/support/fault_sink.h"
#include "tests/support/synthetic_engine.h"
#include "transport/asio.h"

namespace sluice::support {
namespace {

using nlohmann::json;

integration::NodeOptions node_options(const json& settings) {
  integration::NodeOptions options;
  options.name = settings.value("name", "node");
  options.endpoint.listen = settings.value("listen", "");
  options.endpoint.ring = Bytes(settings.value("ring_bytes", std::uint64_t{8} << 20U));
  options.endpoint.slots = settings.value("slots", 64U);
  options.peers = settings.value("peers", std::vector<std::string>());
  const std::string transport = settings.value("transport", "tcp");
  options.data.choice = transport == "ucx"   ? integration::DataChoice::kUcx
                        : transport == "shm" ? integration::DataChoice::kShm
                                             : integration::DataChoice::kTcp;
  options.group_layers = settings.value("group_layers", 3U);
  // Only codings that give the engine's own bits back: then tokens tell right from wrong.
  options.parts = {.raw = true, .lossless = true, .int8 = false, .nested = false};
  options.policy = settings.value("policy", "raw");
  return options;
}

SyntheticEngineOptions engine_options(const json& settings) {
  SyntheticEngineOptions options;
  options.model_seed = settings.value("model_seed", std::uint64_t{1});
  options.layer_chunk_time = std::chrono::microseconds(settings.value("pace_us", 0));
  options.pass_time = [](Duration span) { std::this_thread::sleep_for(span); };
  return options;
}

std::optional<FaultPoint> fault_point(const json& settings) {
  const auto found = settings.find("fault");
  if (found == settings.end()) return std::nullopt;
  return FaultPoint{found->at("event"), found->value("count", std::uint64_t{1}),
                    found->value("signal", "KILL") == "STOP" ? SIGSTOP : SIGKILL};
}

/// The node and what answers for it. Threads: obey() on the loop.
class FaultNode {
 public:
  FaultNode(const json& settings, LineWriter& lines) : lines_(lines), sink_(lines, fault_point(settings)) {}

  Result<void> open(const json& settings) {
    SLUICE_ASSIGN(engine_, open_engine(settings));
    SLUICE_ASSIGN(node_, integration::Node::open(node_options(settings), {loop_, clock_, sink_, engine_.get()}));
    lines_.write({{"ready", node_->listen_address()}});
    return {};
  }

  void run() {
    auto work = transport::asio::make_work_guard(loop_);
    std::thread commands([this] { read_commands(); });
    loop_.run_one();
    while (!closed_) loop_.run_one();
    node_.reset();
    work.reset();
    commands.join();
  }

 private:
  Result<std::unique_ptr<integration::Engine>> open_engine(const json& settings) {
    const std::string model = settings.value("model", "");
    if (model.empty()) return std::unique_ptr<integration::Engine>(new SyntheticEngine(engine_options(settings)));
    integration::llama_cpp::LlamaEngineOptions options;
    options.model_path = model;
    options.context_tokens = Tokens(2048);
    return integration::llama_cpp::open_llama_engine(options, *kernels::ref_kernels().digest, clock_);
  }

  void read_commands() {
    std::string line;
    while (std::getline(std::cin, line)) {
      const json command = json::parse(line, nullptr, false);
      if (command.is_object()) transport::asio::post(loop_, [this, command] { obey(command); });
      if (command.is_object() && command.contains("close")) return;
    }
    transport::asio::post(loop_, [this] { close(); });
  }

  void obey(const json& command) {
    if (command.contains("status")) {
      lines_.write({{"status", node_->status()}, {"links", node_->links()}, {"events", sink_.counts()}});
    } else if (command.contains("close")) {
      close();
    } else if (command.contains("run")) {
      const Instant start = clock_.now();
      node_->run_request(command.at("run"), [this, start, id = command.value("id", 0)](int status, const json& answer) {
        const double took = std::chrono::duration<double, std::milli>(clock_.now() - start).count();
        lines_.write({{"id", id}, {"http", status}, {"took_ms", took}, {"answer", answer}});
      });
    }
  }

  void close() {
    if (closing_) return;
    closing_ = true;
    node_->async_close([this] { closed_ = true; });
  }

  LineWriter& lines_;
  MonotonicClock clock_;
  FaultSink sink_;
  std::unique_ptr<integration::Engine> engine_;
  transport::asio::io_context loop_;
  std::unique_ptr<integration::Node> node_;
  bool closing_ = false;
  bool closed_ = false;
};

int run(const char* argument) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a frozen node does not outlive the test that froze it
  const json settings = json::parse(argument, nullptr, false);
  LineWriter lines;
  if (!settings.is_object()) {
    lines.write({{"error", "the argument must be a JSON object"}});
    return 2;
  }
  FaultNode node(settings, lines);
  if (const auto opened = node.open(settings); !opened) {
    lines.write({{"error", error_name(opened.error().code)}, {"where", opened.error().where}});
    return 1;
  }
  node.run();
  lines.write({{"closed", true}});
  return 0;
}

}  // namespace
}  // namespace sluice::support

int main(int count, char** arguments) {
  if (count == 2) return sluice::support::run(arguments[1]);
  std::fputs("usage: fault_node '{\"listen\": \"127.0.0.1:0\", ...}'\n", stderr);
  return 2;
}
