// E3: a recorded service over one shared link: how much load does each policy carry with 99 of 100 requests in time?
#include <algorithm>
#include <map>

#include "base/random.h"
#include "scheduler/sim/bandwidth.h"
#include "scheduler/sim/clairvoyant.h"
#include "scheduler/sim/experiment.h"
#include "scheduler/sim/trial.h"

namespace sluice::scheduler::sim {
namespace {

constexpr std::size_t kRequests = 1'000;
constexpr BitsPerSecond kLinkRate{10'000'000'000};
constexpr std::uint64_t kChunkTokens = 512;
constexpr Duration kDeadlineFixed{1'000'000'000};
constexpr Duration kDeadlinePerToken{200'000};
/// Loads that are tried: 0.2 times 1.06 to the power of 0 to 95, up to about 50.
constexpr int kLoads = 96;
constexpr double kLowestLoad = 0.2;
constexpr double kLoadStep = 1.06;
constexpr double kInTime = 0.99;
constexpr std::array kPolicies = {"sluice", "fixed:base+r1", "fixed:base", "cachegen", "kvserve",  "cake",
                                  "lynx",   "int8",          "raw",        "raw-drop", "raw-fair", "raw-fifo"};

double load_at(int step) {
  double load = kLowestLoad;
  for (int i = 0; i < step; ++i) load *= kLoadStep;
  return load;
}

/// One service: requests in order, the codec they are coded with and the floor they need.
struct Service {
  std::vector<Arrival> arrivals;
  CodecModel codec;
  PartsPerMillion floor;
  /// Load at the recorded times: raw rows over what the link carries.
  double recorded_load = 0;
};

Service service_of(const Inputs& inputs, const CodecModel& codec, PartsPerMillion floor,
                   std::size_t requests = kRequests) {
  Service service{spread_out(inputs.conversation, 1), codec, floor};
  service.arrivals.resize(std::min(service.arrivals.size(), requests));
  double bytes = 0;
  for (const Arrival& arrival : service.arrivals)
    bytes += static_cast<double>((kTokenRows * arrival.prompt.count()).count());
  const double seconds = static_cast<double>(service.arrivals.back().at.count()) / 1e9;
  service.recorded_load = bytes * 8 / seconds / static_cast<double>(kLinkRate.count());
  return service;
}

std::vector<Job> jobs_at(const Service& service, double load) {
  std::vector<Job> jobs;
  for (const Arrival& arrival : service.arrivals) {
    Job job;
    job.request = RequestId(jobs.size() + 1);
    job.opened =
        Duration(static_cast<std::int64_t>(static_cast<double>(arrival.at.count()) * service.recorded_load / load));
    job.chunk_tokens = kChunkTokens;
    job.chunks = static_cast<std::uint32_t>((arrival.prompt.count() + kChunkTokens - 1) / kChunkTokens);
    job.groups = 1;
    job.unit_raw = kTokenRows * kChunkTokens;
    job.sizes = service.codec.sizes(job.unit_raw);
    job.deadline = kDeadlineFixed + kDeadlinePerToken * static_cast<std::int64_t>(arrival.prompt.count());
    job.floor = service.floor;
    job.target = kExactQuality;
    jobs.push_back(job);
  }
  return jobs;
}

/// Share of requests in time at the floor, and their mean quality.
struct Served {
  double in_time = 0;
  double quality = 0;
};

Served serve(std::string_view policy, const Service& service, double load) {
  Trial trial{
      .link = Link{{{Duration(0), kLinkRate}}, Duration(200'000)}, .codec = service.codec, .nominal = kLinkRate};
  trial.nominal_is_trusted = true;
  trial.computes_front = false;
  const PolicyOptions options = options_of(trial);
  auto mind = make_policy(policy, options).value();
  ClosedLoop loop(trial.link, options);
  loop.set_keeps_no_trace();
  const std::vector<Job> jobs = jobs_at(service, load);
  const std::vector<Outcome> outcomes = loop.run(*mind, jobs, true);
  Served served;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const bool is_good = outcomes[i].has_ended && !outcomes[i].is_recomputed && outcomes[i].quality >= service.floor;
    if (!is_good || outcomes[i].ttft > jobs[i].deadline) continue;
    served.in_time += 1;
    served.quality += static_cast<double>(outcomes[i].quality.count()) / 1e6;
  }
  if (served.in_time > 0) served.quality /= served.in_time;
  served.in_time /= static_cast<double>(jobs.size());
  return served;
}

double best_share_in_time(const Service& service, double load) {
  std::vector<Demand> demands;
  for (const Job& job : jobs_at(service, load)) {
    Bytes smallest = Bytes::max();
    Bytes stages;
    for (const Part part : kAllParts) {
      if (job.sizes[part].is_zero()) continue;
      const bool is_stage = part_place(part) < kStageParts;
      if (is_stage) stages += job.sizes[part];
      if (service.codec.quality.points[part] < service.floor) continue;
      smallest = std::min(smallest, is_stage ? stages : job.sizes[part]);
    }
    demands.push_back({job.opened, job.opened + job.deadline, smallest * job.chunks});
  }
  return static_cast<double>(most_in_time(demands, kLinkRate)) / static_cast<double>(demands.size());
}

/// The highest load with enough in time, by halving: more load is never easier.
template <typename Share>
double highest_load(Share share) {
  int low = -1;
  int high = kLoads;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (share(load_at(middle)) >= kInTime ? low : high) = middle;
  }
  return low < 0 ? 0 : load_at(low);
}

/// Promises made and kept.
struct Promises {
  std::uint64_t made = 0;
  std::uint64_t kept = 0;
  std::uint64_t requests = 0;

  double kept_percent() const { return made == 0 ? 0 : 100.0 * static_cast<double>(kept) / static_cast<double>(made); }
};

Promises promises_on(BandwidthKind kind, const Service& service, double load) {
  const std::vector<Job> jobs = jobs_at(service, load);
  Trial trial{.codec = service.codec, .nominal = kLinkRate};
  trial.link = varying_link(kind, kLinkRate, jobs.back().opened + kDeadlineFixed * 60, 1000);
  trial.computes_front = false;
  PolicyOptions options = options_of(trial);
  options.promise = PartsPerMillion(990'000);
  auto mind = make_policy("sluice", options).value();
  ClosedLoop loop(trial.link, options);
  loop.set_keeps_no_trace();
  Promises promises{.requests = jobs.size()};
  const std::vector<Outcome> outcomes = loop.run(*mind, jobs, true);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (!outcomes[i].is_promised) continue;
    ++promises.made;
    if (!outcomes[i].is_recomputed && outcomes[i].ttft <= jobs[i].deadline) ++promises.kept;
  }
  return promises;
}

}  // namespace

Report promise_test(const Inputs& inputs) {
  constexpr std::size_t kPromised = 6'000;
  Report report{
      .title = "E8: deadlines promised with 0.99 against those kept",
      .setting =
          "6,000 requests of Mooncake's conversation trace over one link of 10 Gbit/s that varies, from light "
          "load to more than it carries (T0, floor 0.92), otherwise as in E3. When a request's size is known, "
          "its deadline is promised with 0.99 or not; nothing is refused for it. Promised: of all requests. "
          "Kept: of those promised.",
      .columns = {"link", "load", "promised", "kept"}};
  Service service = service_of(inputs, tier0(), PartsPerMillion(920'000), kPromised);
  Promises all;
  double furthest = 0;
  for (const BandwidthKind kind : kAllBandwidthKinds) {
    for (const double load : {2.0, 3.0, 4.0, 5.0}) {
      const Promises promises = promises_on(kind, service, load);
      all.made += promises.made;
      all.kept += promises.kept;
      furthest = std::max(furthest, 99 - promises.kept_percent());
      report.rows.push_back({std::string(bandwidth_name(kind)), number_text(load, 1),
                             percent_text(static_cast<double>(promises.made) / static_cast<double>(promises.requests)),
                             number_text(promises.kept_percent(), 2) + " %"});
    }
  }
  report.figures = {{"kept_percent", all.kept_percent()},
                    {"off_points", all.kept_percent() > 99 ? all.kept_percent() - 99 : 99 - all.kept_percent()},
                    {"furthest_below_points", furthest}};
  return report;
}

Report shared_link_test(const Inputs& inputs) {
  Report report{
      .title = "E3: a chat service over one shared link",
      .setting =
          "The first 1,000 requests of Mooncake's conversation trace, whole prompts of an 8B model over one link "
          "of 10 Gbit/s, each due 1 s + 0.2 ms a token after it is ready. Load 1.0: raw rows alone would fill "
          "the link. In the table: the highest load at which 99 of 100 requests are in time at the quality "
          "floor; 0: not even at 0.2. No recompute. Clairvoyant: earliest deadline first over what can be kept, "
          "the largest left out.",
      .columns = {"policy", "T0, floor 0.92", "T0, floor 0.97", "T2, floor 0.92", "T2, floor 0.97",
                  "quality at load 1.0 (T0, 0.92)"}};
  const std::array<std::pair<const char*, Service>, 4> services = {
      {{"t0_92", service_of(inputs, tier0(), PartsPerMillion(920'000))},
       {"t0_97", service_of(inputs, tier0(), PartsPerMillion(970'000))},
       {"t2_92", service_of(inputs, tier2(), PartsPerMillion(920'000))},
       {"t2_97", service_of(inputs, tier2(), PartsPerMillion(970'000))}}};
  std::map<std::string, std::map<std::string, double>> carried;
  for (const auto& [key, kind] : services) {
    const Service& service = kind;  // a binding cannot be captured
    for (const std::string_view policy : kPolicies) {
      carried[key][std::string(policy)] =
          highest_load([&](double load) { return serve(policy, service, load).in_time; });
    }
    carried[key]["clairvoyant"] = highest_load([&](double load) { return best_share_in_time(service, load); });
  }
  const auto add_row = [&](const std::string& policy) {
    std::vector<std::string> row = {policy};
    for (const auto& [key, service] : services) row.push_back(number_text(carried[key][policy], 2));
    const bool is_policy = policy != "clairvoyant";
    const Served served = is_policy ? serve(policy, services[0].second, 1) : Served{};
    row.push_back(is_policy && served.in_time >= kInTime ? number_text(served.quality, 3) : "-");
    report.rows.push_back(row);
  };
  for (const std::string_view policy : kPolicies) add_row(std::string(policy));
  add_row("clairvoyant");
  for (const auto& [key, service] : services) {
    for (const char* other : {"cachegen", "kvserve", "cake", "lynx", "raw", "clairvoyant"}) {
      const double theirs = std::max(carried[key][other], kLowestLoad);
      report.figures.push_back({std::string(key) + "_over_" + other, carried[key]["sluice"] / theirs});
    }
  }
  return report;
}

}  // namespace sluice::scheduler::sim
