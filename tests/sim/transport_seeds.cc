// Runs seeds of the simulated cluster: transport_seeds [--first N|fresh] [--count N] [--stop N]. Prints for each broken
// law what the seed drew and the command that runs it alone, then the totals; exit 1 when a law was broken. "fresh" are
// seeds that the time of day chooses, so that every run of CI looks at others; --stop ends the run after so many broken
// ones.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>

#include "tests/sim/cluster.h"

namespace {

constexpr std::uint64_t kProgressEvery = 50'000;

/// Far apart from one run to the next, and from the small numbers that people type.
std::uint64_t fresh_seed() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count()) * 1'000'000U;
}

bool read_number(std::string_view text, std::uint64_t& number) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failure == std::errc() && end == text.data() + text.size();
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t first = 1;
  std::uint64_t count = 1000;
  std::uint64_t stop = std::numeric_limits<std::uint64_t>::max();
  for (int at = 1; at + 1 < argc; at += 2) {
    const std::string_view name = argv[at];
    const bool is_fresh = name == "--first" && std::string_view(argv[at + 1]) == "fresh";
    if (is_fresh) first = fresh_seed();
    const bool is_read = is_fresh || (name == "--first" && read_number(argv[at + 1], first)) ||
                         (name == "--count" && read_number(argv[at + 1], count)) ||
                         (name == "--stop" && read_number(argv[at + 1], stop));
    if (!is_read) {
      fmt::print(stderr, "transport_seeds: {} {}: use --first N (or fresh), --count N, --stop N\n", name, argv[at + 1]);
      return 2;
    }
  }
  sluice::transport::simtest::Outcome total;
  std::uint64_t broken = 0;
  for (std::uint64_t seed = first; seed < first + count && broken < stop; ++seed) {
    const sluice::transport::simtest::Outcome outcome = sluice::transport::simtest::run_seed(seed);
    total.requests += outcome.requests;
    total.completed += outcome.completed;
    total.delivered += outcome.delivered;
    total.sessions += outcome.sessions;
    if (outcome.broken) {
      ++broken;
      fmt::print("seed {}: {}\n  plan: {}\n  again: transport_seeds --first {} --count 1\n", seed, *outcome.broken,
                 outcome.plan, seed);
    }
    if ((seed - first + 1) % kProgressEvery == 0) fmt::print(stderr, "{} of {} seeds\n", seed - first + 1, count);
  }
  fmt::print("{} seeds from {}: {} broken; {} requests, {} completed, {} parts delivered, {} sessions\n", count, first,
             broken, total.requests, total.completed, total.delivered, total.sessions);
  return broken == 0 ? 0 : 1;
}
