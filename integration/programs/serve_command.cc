// `sluice serve`: one node as a daemon, with its admin port, until SIGTERM or SIGINT. The first signal drains: no new
// requests, running ones are waited for up to kDrainLimit, then peers are told and the process ends with 0. A second
// signal does not wait. Order of members = reverse order of shutdown.
#include <csignal>
#include <cstdio>
#include <memory>

#include "integration/admin.h"
#include "integration/beast.h"
#include "integration/log_sink.h"
#include "integration/programs/command_line.h"
#include "integration/programs/node_setup.h"
#include "integration/programs/version.h"
#include "kernels/table.h"
#include "scheduler/reason.h"

namespace sluice::programs {
namespace {

constexpr Duration kDrainLimit = std::chrono::seconds(30);
constexpr Duration kDrainLook = std::chrono::milliseconds(20);
constexpr std::size_t kRecordedEvents = 16384;

metrics::CountersOptions counters_options() {
  metrics::CountersOptions options;
  const BuildFacts facts = build_facts();
  options.build.version = facts.version;
  options.build.ucx = facts.has_ucx ? "yes" : "";
  options.build.isa = kernels::available_kernels().front().name;
  options.decision_choices = {"raw", "lossless", "int8", "base", "refinement1", "refinement2", "recompute", "complete"};
  for (const scheduler::Reason reason : scheduler::all_reasons()) {
    options.decision_reasons.emplace_back(scheduler::reason_name(reason));
  }
  return options;
}

/// Threads: the loop's, which is the main thread.
class Daemon {
 public:
  explicit Daemon(integration::Config config)
      : config_(std::move(config)),
        counters_(counters_options()),
        exporter_(counters_),
        recorder_(kRecordedEvents),
        log_(stderr),
        events_({&counters_, &recorder_, &log_}),
        signals_(loop_, SIGTERM, SIGINT),
        look_(loop_) {}

  ExitCode run() {
    if (const Result<void> opened = open(); !opened) return fail(what_failed_, opened.error());
    std::printf("sluice: ready data=%s admin=%s engine=%s kernels=%s\n", node_->listen_address().c_str(),
                admin_ ? admin_->listen_address().c_str() : "none", config_.engine_kind.c_str(),
                std::string(kernels::available_kernels().front().name).c_str());
    std::fflush(stdout);
    wait_for_signal();
    while (!closed_) loop_.run_one();
    admin_.reset();
    node_.reset();
    return ExitCode::kOk;
  }

 private:
  Result<void> open() {
    what_failed_ = "engine " + config_.engine_kind;
    SLUICE_ASSIGN(engine_, open_engine(config_, clock_));
    what_failed_ = "node at " + config_.listen_data;
    integration::NodeOptions options = node_options(config_);
    options.decision_log = {config_.planner_decision_log, config_.planner_decision_log_size,
                            "sluice " + std::string(build_facts().version)};
    SLUICE_ASSIGN(node_, integration::Node::open(options, {loop_, clock_, events_, engine_.get()}));
    if (config_.listen_admin.empty()) return {};
    what_failed_ = "admin port at " + config_.listen_admin;
    SLUICE_ASSIGN(const integration::Address address, integration::parse_address(config_.listen_admin));
    auto opened = integration::HttpServer::open(
        loop_, address, {}, integration::make_admin_handler({*node_, counters_, exporter_, recorder_}));
    if (opened) {
      admin_ = std::move(opened).value();
      return {};
    }
    close();  // a node is closed before it is destroyed, also when its admin port was not to be had
    while (!closed_) loop_.run_one();
    return opened.error();
  }

  void wait_for_signal() {
    signals_.async_wait([this](const boost::system::error_code& cancelled, int) {
      if (cancelled) return;
      std::fprintf(stderr, "draining %zu requests\n", node_->running_requests());
      node_->drain();
      drain_until_ = clock_.now() + kDrainLimit;
      signals_.async_wait([this](const boost::system::error_code& no_second, int) {
        if (!no_second) drain_until_ = clock_.now();
      });
      look_again();
    });
  }

  void look_again() {
    if (node_->running_requests() == 0 || clock_.now() >= drain_until_) return close();
    look_.expires_after(kDrainLook);
    look_.async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled) look_again();
    });
  }

  void close() {
    signals_.cancel();
    if (admin_) admin_->close();
    node_->async_close([this] { closed_ = true; });
  }

  integration::Config config_;
  MonotonicClock clock_;
  metrics::Counters counters_;
  metrics::Exporter exporter_;
  metrics::FlightRecorder recorder_;
  integration::LogSink log_;
  FanOutEventSink events_;
  integration::asio::io_context loop_;
  integration::asio::signal_set signals_;
  integration::asio::steady_timer look_;
  std::unique_ptr<integration::Engine> engine_;
  std::unique_ptr<integration::Node> node_;
  std::unique_ptr<integration::HttpServer> admin_;
  std::string what_failed_;
  Instant drain_until_;
  bool closed_ = false;
};

}  // namespace

void add_node_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("serve", "run a node until SIGTERM");
  const auto arguments = std::make_shared<ConfigArguments>();  // lives as long as the callback
  add_config_arguments(*command, *arguments);
  command->callback([&invocation, arguments] {
    invocation.run = [arguments] {
      const std::optional<integration::LoadedConfig> loaded = load(*arguments);
      if (!loaded) return ExitCode::kUsage;
      return std::make_unique<Daemon>(loaded->config)->run();
    };
  });
  add_send_command(app, invocation);
  add_fetch_command(app, invocation);
}

}  // namespace sluice::programs
