// Experiments about one request on one link: E1, E2, two-ended delivery and harm on an idle link.
// Invariant: seeds from kFirstSeed on; nothing was tuned on those.
#include <algorithm>
#include <map>

#include "scheduler/sim/bandwidth.h"
#include "scheduler/sim/experiment.h"
#include "scheduler/sim/trial.h"

namespace sluice::scheduler::sim {
namespace {

constexpr std::uint64_t kFirstSeed = 5000;
constexpr Duration kSecond{1'000'000'000};
constexpr std::uint64_t kMegabit = 1'000'000;
constexpr std::array kPolicies = {"sluice", "cachegen", "cachegen-artifact", "kvserve",
                                  "cake",   "lynx",     "hicache",           "fixed:base+r1",
                                  "int8",   "raw",      "recompute"};

/// What came of one policy over many runs.
struct Tally {
  std::uint64_t runs = 0;
  std::uint64_t late = 0;
  double utility = 0;
  double best = 0;

  void add(double got, double possible) {
    ++runs;
    late += got == 0 ? 1 : 0;
    utility += got;
    best += possible;
  }
  double gap() const { return best == 0 ? 0 : 1 - utility / best; }
  double late_share() const { return static_cast<double>(late) / static_cast<double>(runs); }
  double mean_utility() const { return utility / static_cast<double>(runs); }
  double quality_in_time() const { return runs == late ? 0 : utility / static_cast<double>(runs - late); }
};

}  // namespace

Report cachegen_test(const Inputs&) {
  constexpr std::uint64_t kRuns = 400;
  Report report{
      .title = "E1: CacheGen's own test",
      .setting =
          "One context of 9,400 tokens, a deadline of 1 s, a link that is redrawn every 125 ms between 0.1 and "
          "10 Gbit/s; prefill as fast as on CacheGen's GPU (recompute takes 3.5 s); 400 links; every policy "
          "meets the same ones and has never seen them. Levels are T0's: 1.5, 3.3 and 5.1 bits a value, 8 bit, "
          "lossless, raw. Violation: the first token is late.",
      .columns = {"policy", "violations", "quality when in time", "utility", "gap to clairvoyant"}};
  std::map<std::string_view, Tally> tallies;
  Tally clairvoyant;
  for (std::uint64_t seed = kFirstSeed; seed < kFirstSeed + kRuns; ++seed) {
    Trial trial{.codec = tier0(), .nominal = BitsPerSecond(5'000 * kMegabit)};
    trial.job = request_of(Tokens(9'400), trial.codec, slow_prefill());
    trial.job.deadline = kSecond;
    trial.link = varying_link(BandwidthKind::kUniformHold, BitsPerSecond(5'050 * kMegabit), kSecond, seed);
    begin_with_job(trial.link);
    const double best = best_utility(trial);
    clairvoyant.add(best, best);
    for (const std::string_view policy : kPolicies) {
      tallies[policy].add(utility_of(run_trial(policy, trial), trial.job), best);
    }
  }
  const auto add_row = [&](std::string_view name, const Tally& tally) {
    report.rows.push_back({std::string(name), percent_text(tally.late_share()), number_text(tally.quality_in_time(), 3),
                           number_text(tally.mean_utility(), 3), percent_text(tally.gap())});
  };
  for (const std::string_view policy : kPolicies) add_row(policy, tallies[policy]);
  add_row("clairvoyant", clairvoyant);
  const double late = tallies["sluice"].late_share() * 100;
  report.figures = {{"violations_percent", late},
                    {"violations_over_clairvoyant_points", late - clairvoyant.late_share() * 100},
                    {"cachegen_violations_percent", tallies["cachegen"].late_share() * 100},
                    {"gap_percent", tallies["sluice"].gap() * 100}};
  return report;
}

Report single_request_sweep(const Inputs&) {
  constexpr std::uint64_t kSeeds = 3;
  constexpr std::array<std::uint64_t, 8> kTenths = {4, 10, 20, 50, 100, 250, 500, 1000};
  constexpr std::array<std::uint64_t, 4> kTokens = {2'048, 8'192, 32'768, 131'072};
  Report report{
      .title = "E2: one request, every link speed and context length",
      .setting =
          "Contexts of 2K, 8K, 32K and 128K tokens of an 8B model, a deadline of 0.4 of the time that this node "
          "would need to prefill them, links of 0.4 to 100 Gbit/s of six kinds, three seeds each, T0's levels. "
          "Gap: share of the clairvoyant's utility (quality if in time, else nothing) that is lost.",
      .columns = {"policy", "gap, all"}};
  for (const BandwidthKind kind : kAllBandwidthKinds)
    report.columns.push_back("gap, " + std::string(bandwidth_name(kind)));
  report.columns.push_back("late");
  std::map<std::string_view, Tally> all;
  std::map<std::string_view, std::map<BandwidthKind, Tally>> by_kind;
  std::map<std::string_view, std::map<std::uint64_t, Tally>> by_rate;
  for (const std::uint64_t tenths : kTenths) {
    for (const std::uint64_t tokens : kTokens) {
      for (const BandwidthKind kind : kAllBandwidthKinds) {
        for (std::uint64_t seed = kFirstSeed; seed < kFirstSeed + kSeeds; ++seed) {
          const BitsPerSecond rate(tenths * 100 * kMegabit);
          Trial trial{.codec = tier0(), .nominal = rate};
          trial.job = request_of(Tokens(tokens), trial.codec, fast_prefill());
          trial.job.deadline = trial.job.recompute * 2 / 5;
          trial.link = varying_link(kind, rate, trial.job.deadline, seed);
          begin_with_job(trial.link);
          const double best = best_utility(trial);
          for (const std::string_view policy : kPolicies) {
            const double got = utility_of(run_trial(policy, trial), trial.job);
            all[policy].add(got, best);
            by_kind[policy][kind].add(got, best);
            by_rate[policy][tenths].add(got, best);
          }
        }
      }
    }
  }
  Picture picture{"Utility lost against the clairvoyant", "link, Gbit/s", "gap, %", true, {}};
  double worst = 0;
  for (const std::string_view policy : kPolicies) {
    std::vector<std::string> row = {std::string(policy), percent_text(all[policy].gap())};
    for (const BandwidthKind kind : kAllBandwidthKinds) row.push_back(percent_text(by_kind[policy][kind].gap()));
    row.push_back(percent_text(all[policy].late_share()));
    report.rows.push_back(row);
    Series series{std::string(policy), {}};
    for (const std::uint64_t tenths : kTenths) {
      series.points.emplace_back(static_cast<double>(tenths) / 10, by_rate[policy][tenths].gap() * 100);
    }
    picture.series.push_back(series);
  }
  for (const std::uint64_t tenths : kTenths) {
    const std::string name = "gap_percent_at_" + number_text(static_cast<double>(tenths) / 10, 1) + "_gbit_";
    for (const char* policy : {"sluice", "cachegen", "raw"}) {
      report.figures.push_back({name + policy, by_rate[policy][tenths].gap() * 100});
    }
  }
  for (const auto& [kind, tally] : by_kind["sluice"]) worst = std::max(worst, tally.gap());
  report.figures.push_back({"gap_percent", all["sluice"].gap() * 100});
  report.figures.push_back({"worst_kind_gap_percent", worst * 100});
  report.pictures.push_back(picture);
  return report;
}

Report two_ended_test(const Inputs&) {
  Report report{.title = "Two-ended: the front is computed while the back arrives",
                .setting =
                    "A deadline that nothing can keep, so that sooner is better; the floor is 0.97. Load only: "
                    "the planner without a front; compute only: recompute. Bound: both at full speed at once. "
                    "Share of bound: time won over the better of the two, as part of what the bound wins. "
                    "Constant links, T0's levels.",
                .columns = {"link", "tokens", "load only", "compute only", "two-ended", "bound", "share of bound"}};
  double least_share = 1e9;
  double worst_ratio = 0;
  const auto milliseconds = [](Duration span) {
    return number_text(static_cast<double>(span.count()) / 1e6, 0) + " ms";
  };
  for (const std::uint64_t tenths : {4, 10, 20, 50}) {
    for (const std::uint64_t tokens : {8'192, 32'768}) {
      const BitsPerSecond rate(tenths * 100 * kMegabit);
      Trial trial{.codec = tier0(), .nominal = rate, .nominal_is_trusted = true};
      trial.job = request_of(Tokens(tokens), trial.codec, fast_prefill());
      trial.job.deadline = Duration(10'000'000);
      trial.job.floor = PartsPerMillion(970'000);
      trial.job.deadline_kind = DeadlineKind::kSoft;
      trial.link = varying_link(BandwidthKind::kConstant, rate, kSecond, kFirstSeed);
      const Duration both = run_trial("sluice", trial).ttft;
      const Duration computed = trial.job.recompute;
      trial.computes_front = false;
      trial.job.recompute = Duration::max();
      const Duration loaded = run_trial("sluice", trial).ttft;
      const double sum = 1 / static_cast<double>(loaded.count()) + 1 / static_cast<double>(computed.count());
      const Duration bound(static_cast<std::int64_t>(1 / sum));
      const Duration better = std::min(loaded, computed);
      const double share = static_cast<double>((better - both).count()) / static_cast<double>((better - bound).count());
      least_share = std::min(least_share, share);
      worst_ratio = std::max(worst_ratio, static_cast<double>(both.count()) / static_cast<double>(better.count()));
      report.rows.push_back({rate_text(rate), std::to_string(tokens), milliseconds(loaded), milliseconds(computed),
                             milliseconds(both), milliseconds(bound), number_text(share, 2)});
    }
  }
  report.figures = {{"least_share_of_bound", least_share}, {"worst_over_better_alone", worst_ratio}};
  return report;
}

Report idle_link_test(const Inputs&) {
  Report report{
      .title = "Idle link: is the planner ever in the way?",
      .setting =
          "One request at a time on an idle link whose speed the node was told, a deadline of 10 s, no "
          "recompute; the time to first token over that of raw rows alone. Two GPU codecs: as fast as assumed, "
          "and a quarter of that.",
      .columns = {"link", "tokens", "codec", "raw", "sluice", "ratio"}};
  double sum = 0;
  double worst = 0;
  for (const std::uint64_t gigabits : {100, 200, 400}) {
    for (const std::uint64_t tokens : {2'048, 8'192, 32'768, 131'072}) {
      for (const std::uint64_t slower : {1, 4}) {
        const BitsPerSecond rate(gigabits * 1000 * kMegabit);
        Trial trial{.codec = tier0(), .nominal = rate, .nominal_is_trusted = true, .computes_front = false};
        for (const Part part : kAllParts) {
          if (part != Part::kRaw) trial.codec.decode.rate[part] = trial.codec.decode.rate[part] / slower;
        }
        trial.job = request_of(Tokens(tokens), trial.codec, fast_prefill());
        trial.job.recompute = Duration::max();
        trial.job.deadline = kSecond * 10;
        trial.link = varying_link(BandwidthKind::kConstant, rate, kSecond, kFirstSeed);
        const double raw = static_cast<double>(run_trial("raw", trial).ttft.count()) / 1e6;
        const double planned = static_cast<double>(run_trial("sluice", trial).ttft.count()) / 1e6;
        sum += planned / raw;
        worst = std::max(worst, planned / raw);
        report.rows.push_back({rate_text(rate), std::to_string(tokens), slower == 1 ? "100 GB/s" : "25 GB/s",
                               number_text(raw, 2) + " ms", number_text(planned, 2) + " ms",
                               number_text(planned / raw, 3)});
      }
    }
  }
  report.figures = {{"mean_ttft_over_raw", sum / static_cast<double>(report.rows.size())},
                    {"worst_ttft_over_raw", worst}};
  return report;
}

}  // namespace sluice::scheduler::sim
