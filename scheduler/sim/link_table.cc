#include "scheduler/sim/link_table.h"

#include <algorithm>

#include "base/random.h"

namespace sluice::scheduler::sim {
namespace {

constexpr Duration kHold{200'000'000};
/// A minute and a half of noise; longer runs go on at the last rate.
constexpr std::int64_t kHolds = 450;
constexpr Duration kRtt{4'000'000};
constexpr Duration kJitter{3'000'000};
constexpr Duration kBurst{2'000'000};
constexpr Bytes kLeastBurst{16'384};

}  // namespace

Link wavering_link(BitsPerSecond rate, std::uint64_t seed) {
  Link link;
  link.rtt = kRtt;
  link.jitter = kJitter;
  link.burst = std::max(kLeastBurst, sent_within(kBurst, rate));
  link.seed = seed;
  Random random(~seed);  // not the jitter's numbers
  for (std::int64_t hold = 0; hold < kHolds; ++hold) {
    const std::uint64_t percent = 50 + random.below(101);
    link.phases.push_back({kHold * hold, BitsPerSecond(rate.count() / 100 * percent)});
  }
  return link;
}

std::vector<LinkRow> compare_policies(const LinkCase& wanted, const std::vector<std::string_view>& policies,
                                      std::uint32_t runs) {
  std::vector<LinkRow> rows;
  for (const std::string_view policy : policies) {
    LinkRow row{.policy = std::string(policy), .runs = runs, .quality = PartsPerMillion(0), .wire = Bytes(0)};
    std::vector<Duration> times;
    for (std::uint64_t seed = 1; seed <= runs; ++seed) {
      Scenario scenario = demo_scenario(wanted.mode, wanted.rate, wanted.chunks);
      scenario.link = wavering_link(wanted.rate, seed);
      scenario.job.deadline = wanted.deadline;
      if (policy != "sluice") scenario.job.deadline_kind = DeadlineKind::kSoft;
      const Outcome outcome = run_scenario(policy, scenario).outcome;
      times.push_back(outcome.ttft);
      if (outcome.ttft <= wanted.deadline) ++row.on_time;
      if (outcome.is_recomputed) ++row.recomputed;
      row.quality += outcome.quality;
      row.wire += outcome.wire;
    }
    std::sort(times.begin(), times.end());
    row.ttft = times[times.size() / 2];
    row.quality = row.quality / runs;
    row.wire = row.wire / runs;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace sluice::scheduler::sim
