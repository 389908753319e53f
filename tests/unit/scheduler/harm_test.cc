// Does the planner do harm? Every rate from 1 Mbit/s to 100 Gbit/s, against raw rows and against plain recompute, in
// virtual time on a fluid link.
#include <gtest/gtest.h>

#include "scheduler/sim/closed_loop.h"

namespace sluice::scheduler {
namespace {

using sim::ClosedLoop;
using sim::Job;
using sim::Link;
using sim::Outcome;

std::vector<std::uint64_t> rates() {
  std::vector<std::uint64_t> found;
  for (std::uint64_t decade = 1'000'000; decade <= 10'000'000'000; decade *= 10) {
    for (const std::uint64_t tenths : {10U, 13U, 16U, 20U, 25U, 32U, 40U, 50U, 63U, 79U})
      found.push_back(decade * tenths / 10);
  }
  found.push_back(100'000'000'000);
  return found;
}

PolicyOptions options_for(std::uint64_t rate) {
  PolicyOptions options;
  options.nominal_rate = BitsPerSecond(rate);
  return options;
}

Outcome run(const char* policy_name, std::uint64_t rate, const Job& job, bool is_warm = true) {
  const PolicyOptions options = options_for(rate);
  auto policy = make_policy(policy_name, options).value();
  ClosedLoop link(Link{{{Duration(0), BitsPerSecond(rate)}}}, options);
  const auto outcomes = link.run(*policy, {job}, is_warm);
  EXPECT_TRUE(outcomes[0].has_ended) << policy_name << " at " << rate;
  return outcomes[0];
}

Job patient_job() {
  Job job;
  job.deadline = Duration(3'600'000'000'000);
  return job;
}

TEST(Harm, NeverSlowerThanRawAtAnyRate) {
  for (const std::uint64_t target : {950'000U, 980'000U, 995'000U, 1'000'000U}) {
    for (const std::uint64_t rate : rates()) {
      Job job = patient_job();
      job.target = PartsPerMillion(target);
      const Outcome sluice = run("sluice", rate, job);
      const Outcome raw = run("raw", rate, job);
      EXPECT_LE(sluice.ttft.count(), raw.ttft.count() * 102 / 100) << "at " << rate << " bit/s, target " << target;
      EXPECT_GE(sluice.quality.count(), target) << "at " << rate;
    }
  }
}

TEST(Harm, NeverSlowerThanRecomputeInReuse) {
  for (const std::int64_t recompute : std::initializer_list<std::int64_t>{50'000'000, 500'000'000, 3'700'000'000}) {
    for (const std::uint64_t rate : rates()) {
      Job job = patient_job();
      job.recompute = Duration(recompute);
      const Outcome sluice = run("sluice", rate, job);
      // One look at the offers (a round trip) is what it may cost to find out.
      EXPECT_LE(sluice.ttft.count(), recompute * 102 / 100 + 2'000'000) << "at " << rate << " bit/s";
    }
  }
}

TEST(Harm, WinsWhereTheLinkIsSlow) {
  for (const std::uint64_t rate : {10'000'000U, 50'000'000U}) {
    const Outcome sluice = run("sluice", rate, patient_job());
    const Outcome raw = run("raw", rate, patient_job());
    EXPECT_LE(sluice.ttft.count() * 5 / 2, raw.ttft.count()) << rate;
  }
}

TEST(Harm, AnUnknownLinkCostsAtMostFourUnitsOfDecode) {
  for (const std::uint64_t rate : rates()) {
    const PolicyOptions options = options_for(rate);
    const Outcome sluice = run("sluice", rate, patient_job(), false);
    const Outcome raw = run("raw", rate, patient_job(), false);
    const Duration unit = decode_time(options.decode, Part::kBase, patient_job().unit_raw);
    EXPECT_LE(sluice.ttft.count(), raw.ttft.count() * 102 / 100 + 4 * unit.count()) << "at " << rate;
  }
}

TEST(Harm, HandOverIsNeverSlowerThanRaw) {
  for (const std::uint64_t rate : rates()) {
    Job job = patient_job();
    job.mode = Mode::kHandOver;
    job.unit_encode = Duration(100'000'000);
    const Outcome sluice = run("sluice", rate, job);
    const Outcome raw = run("raw", rate, job);
    EXPECT_LE(sluice.ttft.count(), raw.ttft.count() * 102 / 100) << "at " << rate;
  }
}

TEST(Harm, DoesNotSpendTheWholeDeadlineOnAnUnreachableTarget) {
  // Exact rows do not fit into ten seconds; all stages do, and then nothing is sent twice.
  Job job;
  job.deadline = Duration(10'000'000'000);
  job.target = kExactQuality;
  const Outcome sluice = run("sluice", 10'000'000, job);
  EXPECT_EQ(sluice.quality, PartsPerMillion(995'000));
  EXPECT_EQ(sluice.reason, Reason::kNothingBetter);
  EXPECT_LE(sluice.ttft, Duration(6'000'000'000));
}

TEST(Harm, MeetsADeadlineThatRawMisses) {
  Job job;
  job.deadline = Duration(6'000'000'000);
  job.recompute = Duration(20'000'000'000);
  const Outcome sluice = run("sluice", 10'000'000, job);
  EXPECT_FALSE(sluice.is_recomputed);
  EXPECT_LE(sluice.ttft, job.deadline);
  EXPECT_TRUE(run("raw", 10'000'000, job).is_recomputed);
}

TEST(Harm, CacheGenNeverImprovesAChosenLevel) {
  Job job;
  job.deadline = Duration(6'000'000'000);
  const Outcome sluice = run("sluice", 10'000'000, job);
  const Outcome cachegen = run("cachegen", 10'000'000, job);
  EXPECT_FALSE(cachegen.is_recomputed);
  EXPECT_LE(cachegen.ttft, job.deadline);
  EXPECT_GE(sluice.quality, PartsPerMillion(900'000));
}

}  // namespace
}  // namespace sluice::scheduler
