#include "integration/demo/demo.h"

#include <fmt/format.h>
#include <pthread.h>
#include <csignal>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stop_token>
#include <thread>

#include "integration/demo/daemon_pair.h"
#include "integration/demo/prompt_text.h"
#include "integration/demo/report.h"
#include "integration/demo/runner.h"
#include "integration/engines/recorded/recording.h"
#include "kernels/table.h"

namespace sluice::integration::demo {

namespace {

/// SIGINT, SIGTERM and SIGHUP as a stop request, taken by one thread instead of a handler.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, signal);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
    waiter_ = std::jthread([this](const std::stop_token& ended) {
      const timespec look{0, 100'000'000};
      while (!ended.stop_requested()) {
        if (sigtimedwait(&signals_, nullptr, &look) < 0) continue;
        std::fputs("\nstopping: ending the daemons and removing the link\n", stderr);
        source_.request_stop();
      }
    });
  }
  ~StopSignals() {
    waiter_.request_stop();
    waiter_.join();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  std::stop_token token() const { return source_.get_token(); }

 private:
  sigset_t signals_{};
  sigset_t before_{};
  std::stop_source source_;
  std::jthread waiter_;
};

/// A new folder for logs, removed at the end unless it is to be kept.
class WorkFolder {
 public:
  explicit WorkFolder(const DemoOptions& options) : keep_(options.keep) {
    std::error_code ignored;
    const std::filesystem::path place = options.scratch.empty() ? std::filesystem::temp_directory_path(ignored)
                                                                : std::filesystem::path(options.scratch);
    // mkdtemp wants six X at the end and replaces them.
    std::string name = (place / "sluice-demo-").string() + std::string(6, 'X');
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~WorkFolder() {
    std::error_code ignored;
    if (!keep_ && !path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void keep() { keep_ = true; }

 private:
  bool keep_;
  std::filesystem::path path_;
};

void say(std::string_view line) { std::fputs((std::string(line) + "\n").c_str(), stderr); }

int fail(const std::string& what, const Error& error) {
  say(fmt::format("sluice: demo: {}: {} ({}{}): {}", what, error_name(error.code), error.where,
                  error.native == 0 ? "" : fmt::format(", {}", error.native), error_hint(error.code)));
  return error.code == ErrorCode::kInvalidArgument ? 2 : 1;
}

bool is_standard_output(const std::string& path) { return path == "-" || path == "/dev/stdout"; }

/// The texts of both scenes: of the built-in or the user's text with a model, the recorded one without.
Result<ScenePrompts> read_prompts(const DemoOptions& options) {
  if (options.model.empty()) {
    if (!options.prompt.empty()) return Error{ErrorCode::kInvalidArgument, 0, "a prompt of your own needs a model"};
    SLUICE_ASSIGN(const recorded::Recording recording, recorded::load_recording(kernels::ref_kernels(), {}));
    return ScenePrompts{.hand_over = recording.text, .reuse = recording.text};
  }
  if (options.prompt.empty()) return prompts_from(built_in_text(), options.quick);
  std::ifstream file(options.prompt, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) return Error{ErrorCode::kNotFound, 0, "prompt file"};
  return prompts_from(text.str(), options.quick);
}

Result<void> write_text(const std::string& path, const std::string& text) {
  if (is_standard_output(path)) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    return {};
  }
  std::ofstream file(path, std::ios::trunc | std::ios::binary);
  file << text;
  file.close();
  if (!file) return Error{ErrorCode::kIo, 0, "report file"};
  return {};
}

Result<void> write_reports(const DemoOptions& options, const DemoResults& results) {
  const bool json_is_output = is_standard_output(options.json);
  std::fputs(table_report(results).c_str(), json_is_output ? stderr : stdout);
  std::fflush(stdout);
  if (!options.report.empty()) {
    SLUICE_TRY(write_text(options.report, html_report(results)));
    say("report with plots: " + options.report);
  }
  if (!options.json.empty()) SLUICE_TRY(write_text(options.json, json_report(results)));
  return {};
}

Result<DemoResults> measure(const DemoOptions& options, const DaemonOptions& daemons, const ScenePrompts& prompts,
                            const std::stop_token& stop) {
  SLUICE_ASSIGN(
      std::unique_ptr<LinkEmulator> link,
      open_link({.kind = options.emulation, .rtt = options.rtt, .folder = daemons.folder, .self = daemons.self}));
  say("link: " + link->description());
  SLUICE_ASSIGN(const std::unique_ptr<DaemonPair> pair, DaemonPair::start(daemons, std::move(link), stop));
  const auto start = std::chrono::steady_clock::now();
  const auto progress = [start](std::string_view line) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    say(fmt::format("[{:5.1f} s] {}", passed.count(), line));
  };
  return run_scenes(options, prompts, *pair, progress);
}

}  // namespace

int run_demo(const DemoOptions& asked, const std::string& self) {
  const StopSignals signals;
  DemoOptions options = asked;
  options.scored = !options.model.empty();
  const Result<ScenePrompts> prompts = read_prompts(options);
  if (!prompts) return fail("cannot read the prompt " + options.prompt, prompts.error());
  WorkFolder folder(options);
  if (folder.path().empty()) return fail("no folder for logs", {ErrorCode::kIo, 0, "temporary folder"});
  if (options.model.empty()) {
    say("no --model: the recorded engine replays the KV of one stored prompt; bytes and times are real, KL is not "
        "measured");
  }
  const DaemonOptions daemons{
      .self = self, .model = options.model, .profile = options.profile, .folder = folder.path(), .say = say};
  const Result<DemoResults> results = measure(options, daemons, *prompts, signals.token());
  if (signals.token().stop_requested()) return 130;
  if (!results) {
    folder.keep();
    say("logs of both daemons: " + folder.path().string());
    return fail("the run failed", results.error());
  }
  if (options.keep) say("logs and configurations: " + folder.path().string());
  const Result<void> written = write_reports(options, *results);
  return written ? 0 : fail("cannot write a report", written.error());
}

}  // namespace sluice::integration::demo
