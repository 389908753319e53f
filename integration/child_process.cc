#include "integration/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include <cerrno>
#include <thread>

namespace sluice::integration {

namespace {

constexpr Duration kLook = std::chrono::milliseconds(10);
/// SIGKILL ends a process at once, unless the kernel holds it.
constexpr Duration kGroupEnd = std::chrono::seconds(2);

/// Attributes and file actions of posix_spawn, destroyed together.
struct SpawnPlan {
  SpawnPlan() {
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&files);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t files;
};

/// Own group (Ctrl-C reaches the demo alone, which ends its children in order); the demo blocks signals, a child does
/// not.
void plan_child(SpawnPlan& plan, const std::filesystem::path& log) {
  sigset_t none;
  sigemptyset(&none);
  sigset_t restored;
  sigemptyset(&restored);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) sigaddset(&restored, signal);
  posix_spawnattr_setflags(&plan.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&plan.attributes, 0);
  posix_spawnattr_setsigmask(&plan.attributes, &none);
  posix_spawnattr_setsigdefault(&plan.attributes, &restored);
  posix_spawn_file_actions_addopen(&plan.files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&plan.files, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&plan.files, 1, 2);
}

}  // namespace

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    stop(std::chrono::seconds(2));
    pid_ = other.pid_;
    other.pid_ = -1;
  }
  return *this;
}

Result<ChildProcess> ChildProcess::start(const std::vector<std::string>& arguments, const std::filesystem::path& log) {
  SLUICE_ASSERT(!arguments.empty());
  std::vector<char*> words;
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  SpawnPlan plan;
  plan_child(plan, log);
  pid_t pid = -1;
  const int failure = posix_spawnp(&pid, words[0], &plan.files, &plan.attributes, words.data(), environ);
  if (failure != 0) return Error{ErrorCode::kIo, failure, "start of a program"};
  return ChildProcess(pid);
}

bool ChildProcess::is_running() {
  if (pid_ < 0) return false;
  siginfo_t info{};
  // WNOWAIT: its status stays to be read by wait().
  return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

Result<void> ChildProcess::wait() {
  int status = 0;
  while (pid_ >= 0 && waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) break;
  }
  pid_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Error{ErrorCode::kIo, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), "end of a program"};
}

void ChildProcess::stop(Duration grace) {
  if (pid_ < 0) return;
  kill(-pid_, SIGTERM);
  for (Duration waited{0}; waited < grace && is_running(); waited += kLook) std::this_thread::sleep_for(kLook);
  const pid_t group = pid_;
  kill(-group, SIGKILL);
  (void)wait();
  // The leader is reaped; others of its group die on their own time. Stopped means that none is left.
  for (Duration waited{0}; waited < kGroupEnd && kill(-group, 0) == 0; waited += kLook)
    std::this_thread::sleep_for(kLook);
}

Result<void> run_program(const std::vector<std::string>& arguments, const std::filesystem::path& log) {
  SLUICE_ASSIGN(ChildProcess child, ChildProcess::start(arguments, log));
  return child.wait();
}

bool has_program(const std::string& name) {
  for (const char* folder : {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
    if (access((folder + name).c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace sluice::integration
