#include "scheduler/sim/scenario.h"

namespace sluice::scheduler::sim {
namespace {

constexpr std::uint64_t kChunkTokens = 256;
constexpr std::uint64_t kTokenBytes = 23'040;
constexpr std::uint32_t kGroups = 5;
constexpr Duration kMillisecond{1'000'000};
constexpr Duration kChunkPrefill{1'000'000'000 * static_cast<std::int64_t>(kChunkTokens) / 90};

}  // namespace

PartSizes measured_sizes(Bytes raw) {
  constexpr Bytes kHeader{64};
  PartSizes sizes;
  const auto set = [&](Part part, std::uint64_t centibits) { sizes[part] = raw * centibits / 1600 + kHeader; };
  set(Part::kBase, 154);
  set(Part::kRefinement1, 180);
  set(Part::kRefinement2, 170);
  set(Part::kInt8, 825);
  set(Part::kLossless, 1360);
  set(Part::kRaw, 1600);
  return sizes;
}

DecodeCosts measured_decode() {
  DecodeCosts costs;
  const auto set = [&](Part part, std::uint64_t megabytes) { costs.rate[part] = BitsPerSecond(megabytes * 8'000'000); };
  set(Part::kBase, 200);
  set(Part::kRefinement1, 160);
  set(Part::kRefinement2, 140);
  set(Part::kInt8, 400);
  set(Part::kLossless, 150);
  set(Part::kRaw, 1500);
  return costs;
}

Scenario demo_scenario(Mode mode, BitsPerSecond rate, std::uint32_t chunks) {
  Scenario scenario;
  scenario.link.phases = {{Duration(0), rate}};
  Job& job = scenario.job;
  job.mode = mode;
  job.chunks = chunks;
  job.groups = kGroups;
  job.unit_raw = Bytes(kChunkTokens * kTokenBytes / kGroups);
  job.sizes = measured_sizes(job.unit_raw);
  job.floor = PartsPerMillion(0);
  job.target = kExactQuality;
  job.first_token = 100 * kMillisecond;
  job.recompute = kChunkPrefill * static_cast<std::int64_t>(chunks);
  if (mode == Mode::kHandOver) {
    job.chunk_prefill = kChunkPrefill;
    job.unit_encode = 40 * kMillisecond;
  }
  return scenario;
}

ScenarioResult run_scenario(std::string_view policy_name, const Scenario& scenario) {
  PolicyOptions told;
  told.decode = measured_decode();
  auto policy = make_policy(policy_name, told).value();
  ClosedLoop loop(scenario.link, told);
  DecodeCosts really = told.decode;
  for (const Part part : kAllParts) {
    const WideCount scaled = static_cast<WideCount>(really.rate[part].count()) * scenario.decode_speed.count();
    really.rate[part] = BitsPerSecond(static_cast<std::uint64_t>(scaled / 1'000'000U));
  }
  loop.set_decode(really);
  ScenarioResult result;
  result.outcome = loop.run(*policy, {scenario.job}, scenario.is_warm).front();
  result.link_busy = loop.trace().link_busy;
  if (!loop.trace().actions.empty()) result.last_action = explain(loop.trace().actions.back().second);
  return result;
}

}  // namespace sluice::scheduler::sim
