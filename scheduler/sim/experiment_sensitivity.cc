// E10: how much of E2 hangs on what was assumed: one assumption is changed at a time.
#include <algorithm>
#include <functional>

#include "scheduler/sim/bandwidth.h"
#include "scheduler/sim/experiment.h"
#include "scheduler/sim/trial.h"

namespace sluice::scheduler::sim {
namespace {

constexpr std::uint64_t kSeed = 6000;
constexpr std::array kPolicies = {"sluice", "cachegen", "kvserve", "fixed:base+r1"};

/// One assumption, as it is changed.
struct Change {
  std::string name;
  std::function<void(Trial&)> apply;
};

void resize(Trial& trial, PartTable<std::uint64_t> millibits) {
  trial.codec.millibits = millibits;
  trial.job.sizes = trial.codec.sizes(trial.job.unit_raw);
}

/// Every stage above the base takes this many percent more bytes.
void charge_stages(Trial& trial, std::uint64_t percent) {
  PartTable<std::uint64_t> millibits = trial.codec.millibits;
  for (const Part part : {Part::kRefinement1, Part::kRefinement2, Part::kRefinement3}) {
    millibits[part] = millibits[part] * (100 + percent) / 100;
  }
  resize(trial, millibits);
}

void set_deadline(Trial& trial, std::int64_t tenths) { trial.job.deadline = trial.job.recompute * tenths / 10; }

void slow_decode(Trial& trial, std::uint64_t times) {
  for (const Part part : kAllParts) trial.codec.decode.rate[part] = trial.codec.decode.rate[part] / times;
}

std::vector<Change> all_changes() {
  return {{"as in E2", [](Trial&) {}},
          {"deadline 0.2 of prefill", [](Trial& trial) { set_deadline(trial, 2); }},
          {"deadline 0.8 of prefill", [](Trial& trial) { set_deadline(trial, 8); }},
          {"stages 10 % larger", [](Trial& trial) { charge_stages(trial, 10); }},
          {"stages 25 % larger", [](Trial& trial) { charge_stages(trial, 25); }},
          {"T2 instead of T0",
           [](Trial& trial) {
             trial.codec = tier2();
             resize(trial, trial.codec.millibits);
           }},
          {"decode 4 times slower", [](Trial& trial) { slow_decode(trial, 4); }},
          {"decode 16 times slower", [](Trial& trial) { slow_decode(trial, 16); }},
          {"round trip 5 ms", [](Trial& trial) { trial.link.rtt = Duration(5'000'000); }},
          {"jitter 1 ms", [](Trial& trial) { trial.link.jitter = Duration(1'000'000); }},
          {"link taken for 10 times faster",
           [](Trial& trial) { trial.nominal = BitsPerSecond(trial.nominal.count() * 10); }},
          {"link taken for 10 times slower", [](Trial& trial) { trial.nominal = trial.nominal / 10; }},
          {"no chunk is computed here", [](Trial& trial) { trial.computes_front = false; }}};
}

}  // namespace

Report sensitivity_test(const Inputs&) {
  Report report{.title = "E10: what the gap hangs on",
                .setting =
                    "As E2, 8K and 32K tokens, 1, 5, 20 and 100 Gbit/s, six kinds of link, one seed; one "
                    "assumption is another in each row. The gap is to the clairvoyant under the same assumption, "
                    "who decodes for nothing.",
                .columns = {"changed"}};
  for (const std::string_view policy : kPolicies) report.columns.push_back("gap, " + std::string(policy));
  double worst = 0;
  for (const Change& change : all_changes()) {
    std::array<double, kPolicies.size()> got{};
    double possible = 0;
    for (const std::uint64_t gigabits : {1, 5, 20, 100}) {
      for (const std::uint64_t tokens : {8'192, 32'768}) {
        for (const BandwidthKind kind : kAllBandwidthKinds) {
          const BitsPerSecond rate(gigabits * 1'000'000'000);
          Trial trial{.codec = tier0(), .nominal = rate};
          trial.job = request_of(Tokens(tokens), trial.codec, fast_prefill());
          set_deadline(trial, 4);
          trial.link = varying_link(kind, rate, trial.job.deadline, kSeed);
          begin_with_job(trial.link);
          change.apply(trial);
          possible += best_utility(trial);
          for (std::size_t i = 0; i < kPolicies.size(); ++i)
            got[i] += utility_of(run_trial(kPolicies[i], trial), trial.job);
        }
      }
    }
    std::vector<std::string> row = {change.name};
    for (const double one : got) row.push_back(percent_text(1 - one / possible));
    report.rows.push_back(row);
    worst = std::max(worst, 1 - got[0] / possible);
  }
  report.figures = {{"worst_gap_percent", worst * 100}};
  return report;
}

}  // namespace sluice::scheduler::sim
