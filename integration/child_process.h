// Programs that another one starts: each in its own process group, its output in a file, ended with its group.
// Invariants: a ChildProcess that goes out of scope has no process left; a child that outlives a killed parent is ended
// by the kernel where setpriv is installed (its parent-death signal).
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"

namespace sluice::integration {

/// One started program.
/// Threads: one, but interrupt() may come from any while the object lives.
class ChildProcess {
 public:
  ChildProcess() = default;
  ChildProcess(ChildProcess&& other) noexcept : pid_(other.pid_) { other.pid_ = -1; }
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess() { stop(std::chrono::seconds(2)); }

  /// Starts arguments[0], found by PATH, with standard output and error appended to `log`.
  /// Errors:  kIo with the errno (no such program, no process left, log cannot be opened).
  static Result<ChildProcess> start(const std::vector<std::string>& arguments, const std::filesystem::path& log);

  /// Whether it still runs.
  bool is_running();
  /// Waits for its end. Errors: kIo when it ended with another status than 0, which is then `native`.
  Result<void> wait();
  /// Asks the group to end, waits for `grace`, then kills what is left.
  void stop(Duration grace);
  pid_t pid() const { return pid_; }

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
};

/// Runs a program to its end.
/// Errors:  as start() and wait().
Result<void> run_program(const std::vector<std::string>& arguments, const std::filesystem::path& log);

/// Whether PATH has that program. Threads: any.
bool has_program(const std::string& name);

}  // namespace sluice::integration
