// The two `sluice serve` daemons of the demo and the link between them: real processes that are started, waited for,
// asked over their admin ports, and ended.
// Invariants: the prefill daemon lives for the whole run, since it keeps encoded prompts; the decode daemon is started
// anew on each link. Nothing outlives the object. Logs and configurations are in its folder.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "integration/child_process.h"
#include "integration/demo/link_emulator.h"
#include "integration/demo/runner.h"

namespace sluice::integration::demo {

/// What the daemons are started with.
struct DaemonOptions {
  std::string self;              ///< path of the program `sluice`
  std::string model;             ///< a GGUF file; empty: the recorded engine
  std::string profile;           ///< a .slp file of that model; empty: none
  std::filesystem::path folder;  ///< for configurations and logs
  Progress say;                  ///< hears why a daemon did not start
};

/// Threads: one; a stop request may come from any.
class DaemonPair final : public Backend {
 public:
  /// Starts the prefill daemon. `link` is closed after the daemons.
  /// Errors:  kIo; kPeerSilent when it is not ready in time; kPeerLost when it ended, kAborted when stopped.
  static Result<std::unique_ptr<DaemonPair>> start(DaemonOptions options, std::unique_ptr<LinkEmulator> link,
                                                   std::stop_token stop);

  Result<void> use_link(BitsPerSecond rate) override;
  Result<ArmResult> ask(const ArmRequest& request) override;
  std::string engine() override;
  std::string emulation() override { return link_->description(); }
  void read_metrics(DemoResults& results) override;
  ~DaemonPair() override;

 private:
  DaemonPair(DaemonOptions options, std::unique_ptr<LinkEmulator> link, std::stop_token stop)
      : options_(std::move(options)), link_(std::move(link)), stop_(std::move(stop)) {}

  /// Which process a stop request ends; 0: none.
  using ProcessNumber = std::atomic<pid_t>;

  Result<ChildProcess> start_daemon(const std::string& role, const DaemonPlace& place, ProcessNumber& number);
  void kill_daemons() const;
  void end_daemon(ChildProcess& daemon, ProcessNumber& number);

  DaemonOptions options_;
  std::unique_ptr<LinkEmulator> link_;  // before the daemons: it is destroyed after them
  std::stop_token stop_;
  ChildProcess prefill_;
  ChildProcess decode_;
  ProcessNumber prefill_number_{0};
  ProcessNumber decode_number_{0};
  /// A call that waits for an answer ends when its daemon does.
  std::stop_callback<std::function<void()>> on_stop_{stop_, [this] { kill_daemons(); }};
};

}  // namespace sluice::integration::demo
