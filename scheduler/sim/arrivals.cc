#include "scheduler/sim/arrivals.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/random.h"

namespace sluice::scheduler::sim {
namespace {

constexpr std::uint64_t kBlockTokens = 512;
/// Of the last group, which no other follows.
constexpr Duration kLastSpread{3'000'000'000};
constexpr std::uint64_t kMostMilliseconds = 1'000'000'000;
constexpr std::uint64_t kMostTokens = 1 << 24;

Error bad_line(std::size_t number) {
  return Error{ErrorCode::kInvalidArgument, static_cast<std::int32_t>(number), "line of a trace"};
}

/// Four numbers between commas.
bool read_numbers(std::string_view line, std::array<std::uint64_t, 4>& numbers) {
  const char* at = line.data();
  const char* end = line.data() + line.size();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto [next, error] = std::from_chars(at, end, numbers[i]);
    const bool is_last = i + 1 == numbers.size();
    if (error != std::errc() || (is_last ? next != end : next == end || *next != ',')) return false;
    at = next + 1;
  }
  return true;
}

}  // namespace

Result<std::vector<Arrival>> parse_arrivals(std::string_view csv) {
  std::vector<Arrival> arrivals;
  for (std::size_t number = 1; !csv.empty(); ++number) {
    const std::size_t length = std::min(csv.find('\n'), csv.size());
    const std::string_view line = csv.substr(0, length);
    csv.remove_prefix(std::min(length + 1, csv.size()));
    if (number == 1) continue;
    std::array<std::uint64_t, 4> numbers{};
    if (!read_numbers(line, numbers)) return bad_line(number);
    const auto [milliseconds, prompt, answer, blocks] = numbers;
    if (milliseconds > kMostMilliseconds || std::max({prompt, answer, blocks * kBlockTokens}) > kMostTokens) {
      return bad_line(number);
    }
    const Duration at(static_cast<std::int64_t>(milliseconds) * 1'000'000);
    if (!arrivals.empty() && at < arrivals.back().at) return bad_line(number);
    arrivals.push_back({at, Tokens(prompt), Tokens(answer), Tokens(std::min(blocks * kBlockTokens, prompt))});
  }
  return arrivals;
}

std::vector<Arrival> spread_out(std::vector<Arrival> arrivals, std::uint64_t seed) {
  Random random(seed);
  for (std::size_t first = 0; first < arrivals.size();) {
    std::size_t last = first;
    while (last < arrivals.size() && arrivals[last].at == arrivals[first].at) ++last;
    const Duration span = last < arrivals.size() ? arrivals[last].at - arrivals[first].at : kLastSpread;
    std::vector<std::int64_t> places;
    for (std::size_t i = first; i < last; ++i) {
      places.push_back(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(span.count()))));
    }
    std::sort(places.begin(), places.end());
    for (std::size_t i = first; i < last; ++i) arrivals[i].at += Duration(places[i - first]);
    first = last;
  }
  return arrivals;
}

}  // namespace sluice::scheduler::sim
