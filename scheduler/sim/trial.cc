#include "scheduler/sim/trial.h"

#include <algorithm>
#include <cstdio>

#include "scheduler/sim/clairvoyant.h"

namespace sluice::scheduler::sim {
namespace {

constexpr std::uint64_t kChunkTokens = 256;
constexpr std::uint64_t kMostChunks = 128;
constexpr std::uint32_t kGroups = 4;
constexpr std::uint64_t kSlower = 4;

}  // namespace

PrefillCost fast_prefill() { return PrefillCost{Duration(2'000'000), 80'000'000, 2'600}; }

PrefillCost slow_prefill() {
  PrefillCost cost = fast_prefill();
  cost.picoseconds_per_token *= kSlower;
  cost.picoseconds_per_token_pair *= kSlower;
  return cost;
}

Job request_of(Tokens tokens, const CodecModel& codec, const PrefillCost& prefill) {
  Job job;
  const std::uint64_t per_chunk = std::max(kChunkTokens, (tokens.count() + kMostChunks - 1) / kMostChunks);
  job.chunk_tokens = static_cast<std::uint32_t>(per_chunk);
  job.chunks = static_cast<std::uint32_t>((tokens.count() + per_chunk - 1) / per_chunk);
  job.groups = kGroups;
  job.unit_raw = kTokenRows * per_chunk / kGroups;
  job.sizes = codec.sizes(job.unit_raw);
  job.floor = PartsPerMillion(0);
  job.target = kExactQuality;
  job.prefill = prefill;
  job.recompute = prefill_time(prefill, Tokens(per_chunk * job.chunks));
  return job;
}

void begin_with_job(Link& link) {
  for (Link::Phase& phase : link.phases) {
    if (phase.since > Duration(0)) phase.since += Duration(1'000'000'000);
  }
}

PolicyOptions options_of(const Trial& trial) {
  PolicyOptions options;
  options.decode = trial.codec.decode;
  options.quality = trial.codec.quality;
  options.nominal_rate = trial.nominal;
  options.nominal_is_trusted = trial.nominal_is_trusted;
  options.nominal_rtt = trial.link.rtt;
  options.computes_front = trial.computes_front;
  options.deadline_guard = Duration(500'000);
  return options;
}

Outcome run_trial(std::string_view policy, const Trial& trial) {
  const PolicyOptions options = options_of(trial);
  auto mind = make_policy(policy, options).value();
  ClosedLoop loop(trial.link, options);
  loop.set_keeps_no_trace();
  if (policy == "cachegen-artifact") loop.set_tells_rate();
  return loop.run(*mind, {trial.job}, false).front();
}

double utility_of(const Outcome& outcome, const Job& job) {
  if (!outcome.has_ended || outcome.ttft > job.deadline) return 0;
  return static_cast<double>(outcome.quality.count()) / 1e6;
}

double best_utility(const Trial& trial) {
  return static_cast<double>(best_quality(trial.link, trial.job, trial.codec.quality).count()) / 1e6;
}

std::string number_text(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

std::string percent_text(double share) { return number_text(share * 100, 1) + " %"; }

std::string rate_text(BitsPerSecond rate) {
  const double gigabits = static_cast<double>(rate.count()) / 1e9;
  return number_text(gigabits, gigabits < 1 ? 1 : 0) + " Gbit/s";
}

}  // namespace sluice::scheduler::sim
