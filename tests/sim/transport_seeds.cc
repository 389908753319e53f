// Runs seeds of the simulated cluster: transport_seeds [--plan faults|tampering] [--first N|fresh|fresh+N] [--count N]
// [--stop N]. Prints for each broken law what the seed drew and the command that runs it alone, then the totals; exit 1
// when a law was broken; a seed that ends the program is named as well. "fresh" are seeds that the time of day chooses,
// so that every run of CI looks at others; --stop ends the run after so many broken ones.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "tests/sim/cluster.h"

namespace {

namespace simtest = sluice::transport::simtest;

constexpr std::string_view kFresh = "fresh";
constexpr std::uint64_t kProgressEvery = 50'000;

struct Options {
  std::string_view plan = "faults";
  std::uint64_t first = 1;
  std::uint64_t count = 1000;
  std::uint64_t stop = std::numeric_limits<std::uint64_t>::max();
};

volatile std::uint64_t running_seed = 0;

// A broken invariant ends the program: what is left is to say where.
extern "C" void say_running_seed(int signal) {
  std::fprintf(stderr, "seed %llu: ended by signal %d\n", static_cast<unsigned long long>(running_seed), signal);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

/// Far apart from one run to the next, and from the small numbers that people type.
std::uint64_t fresh_seed() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count()) * 1'000'000U;
}

bool read_number(std::string_view text, std::uint64_t& number) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failure == std::errc() && end == text.data() + text.size();
}

bool read_option(std::string_view name, std::string_view value, Options& options) {
  if (name == "--plan") {
    options.plan = value;
    return value == "faults" || value == "tampering";
  }
  if (name == "--first" && value.starts_with(kFresh)) {
    std::uint64_t further = 0;
    const bool is_read = value == kFresh || read_number(value.substr(kFresh.size() + 1), further);
    options.first = fresh_seed() + further;
    return is_read;
  }
  if (name == "--first") return read_number(value, options.first);
  if (name == "--count") return read_number(value, options.count);
  return name == "--stop" && read_number(value, options.stop);
}

void add(simtest::Outcome& total, const simtest::Outcome& outcome) {
  total.requests += outcome.requests;
  total.completed += outcome.completed;
  total.delivered += outcome.delivered;
  total.sessions += outcome.sessions;
  total.refused += outcome.refused;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int at = 1; at + 1 < argc; at += 2) {
    if (read_option(argv[at], argv[at + 1], options)) continue;
    fmt::print(
        stderr,
        "transport_seeds: {} {}: use --plan faults or tampering, --first N, fresh or fresh+N, --count N, --stop N\n",
        argv[at], argv[at + 1]);
    return 2;
  }
  std::signal(SIGABRT, say_running_seed);
  std::signal(SIGSEGV, say_running_seed);
  const auto run = options.plan == "faults" ? simtest::run_seed : simtest::run_tampering;
  simtest::Outcome total;
  std::uint64_t broken = 0;
  for (std::uint64_t done = 0; done < options.count && broken < options.stop; ++done) {
    const std::uint64_t seed = options.first + done;
    running_seed = seed;
    const simtest::Outcome outcome = run(seed);
    add(total, outcome);
    if (outcome.broken) {
      ++broken;
      fmt::print("seed {}: {}\n  plan: {}\n  again: transport_seeds --plan {} --first {} --count 1\n", seed,
                 *outcome.broken, outcome.plan, options.plan, seed);
      std::fflush(stdout);  // a run that is stopped has told what it found
    }
    if ((done + 1) % kProgressEvery == 0) fmt::print(stderr, "{} of {} seeds\n", done + 1, options.count);
  }
  fmt::print(
      "{} seeds from {}: {} broken; {} requests, {} completed, {} parts delivered, {} sessions, {} wrong parts "
      "refused\n",
      options.count, options.first, broken, total.requests, total.completed, total.delivered, total.sessions,
      total.refused);
  return broken == 0 ? 0 : 1;
}
