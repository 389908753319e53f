// `sluice sim links`: the planner and the policies it is compared with on simulated links, as the table that
// docs/benchmarks shows. Virtual time and fixed seeds: the same bytes on every machine, in a few seconds.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "integration/demo/plan.h"
#include "integration/programs/command_line.h"
#include "scheduler/sim/link_table.h"

namespace sluice::programs {
namespace {

using integration::demo::Scene;
using nlohmann::json;
using scheduler::sim::LinkCase;
using scheduler::sim::LinkRow;

const std::vector<std::string_view> kPolicies = {"sluice", "cachegen", "fixed:base+r1", "int8", "raw", "recompute"};
constexpr std::uint64_t kMegabits[] = {5, 10, 50, 200, 1000, 10'000};
constexpr std::uint64_t kSlowLink = 50'000'000;
constexpr std::uint32_t kReuseChunks = 8;
constexpr std::uint32_t kHandOverChunks = 3;

double milliseconds(Duration span) { return std::chrono::duration<double, std::milli>(span).count(); }

/// The demo's own rule states the deadline.
LinkCase case_of(Scene scene, BitsPerSecond rate) {
  LinkCase wanted;
  wanted.mode = scene == Scene::kReuse ? scheduler::Mode::kReuse : scheduler::Mode::kHandOver;
  wanted.rate = rate;
  wanted.chunks = scene == Scene::kReuse ? kReuseChunks : kHandOverChunks;
  const scheduler::sim::Job job = scheduler::sim::demo_scenario(wanted.mode, rate, wanted.chunks).job;
  wanted.deadline = integration::demo::stated_deadline({.scene = scene,
                                                        .rate = rate,
                                                        .raw = job.unit_raw * job.chunks * job.groups,
                                                        .recompute = job.recompute + job.first_token});
  return wanted;
}

std::string table_of(const LinkCase& wanted, const std::vector<LinkRow>& rows) {
  std::string text;
  for (const LinkRow& row : rows) {
    text += fmt::format("| {} | {:.0f} ms | {} | {:.0f} ms | {} of {} | {} | {:.3f} | {:.1f} MB |\n",
                        integration::demo::rate_name(wanted.rate), milliseconds(wanted.deadline), row.policy,
                        milliseconds(row.ttft), row.on_time, row.runs, row.recomputed,
                        static_cast<double>(row.quality.count()) / 1e6, static_cast<double>(row.wire.count()) / 1e6);
  }
  return text;
}

json json_of(Scene scene, const LinkCase& wanted, const std::vector<LinkRow>& rows) {
  json policies = json::object();
  for (const LinkRow& row : rows) {
    policies[row.policy] = {{"ttft_ms", milliseconds(row.ttft)},
                            {"on_time", row.on_time},
                            {"runs", row.runs},
                            {"recomputed", row.recomputed},
                            {"quality_ppm", row.quality.count()},
                            {"wire_bytes", row.wire.count()}};
  }
  const auto ratio = [&](const char* over) {
    return policies[over]["ttft_ms"].get<double>() / policies["sluice"]["ttft_ms"].get<double>();
  };
  return {{"scene", integration::demo::scene_key(scene)},
          {"bits_per_second", wanted.rate.count()},
          {"deadline_ms", milliseconds(wanted.deadline)},
          {"policies", policies},
          {"raw_over_sluice", ratio("raw")},
          {"sluice_over_raw", 1 / ratio("raw")},
          {"sluice_late", rows.front().runs - rows.front().on_time},
          {"recompute_over_sluice", ratio("recompute")}};
}

/// All cases, and those that promises are made of.
json report_of(const json& cases) {
  json reuse = json::array();
  json slow = json::array();
  for (const json& one : cases) {
    if (one["scene"] != integration::demo::scene_key(Scene::kReuse)) continue;
    reuse.push_back(one);
    if (one["bits_per_second"].get<std::uint64_t>() <= kSlowLink) slow.push_back(one);
  }
  return {{"links", cases}, {"reuse", reuse}, {"slow_reuse", slow}};
}

ExitCode links(std::uint32_t runs, bool as_json) {
  json cases = json::array();
  for (const Scene scene : {Scene::kReuse, Scene::kHandOver}) {
    if (!as_json) {
      fmt::print("{}{}, {} tokens\n\n", scene == Scene::kReuse ? "" : "\n", integration::demo::scene_name(scene),
                 256 * (scene == Scene::kReuse ? kReuseChunks : kHandOverChunks));
      fmt::print("| link | deadline | policy | median time to first token | on time | recomputed | quality | wire |\n");
      fmt::print("|---|---|---|---|---|---|---|---|\n");
    }
    for (const std::uint64_t megabits : kMegabits) {
      const LinkCase wanted = case_of(scene, BitsPerSecond(megabits * 1'000'000));
      const std::vector<LinkRow> rows = scheduler::sim::compare_policies(wanted, kPolicies, runs);
      if (as_json) cases.push_back(json_of(scene, wanted, rows));
      if (!as_json) fmt::print("{}", table_of(wanted, rows));
    }
  }
  if (as_json) fmt::print("{}\n", report_of(cases).dump(2));
  return ExitCode::kOk;
}

}  // namespace

void add_sim_command(CLI::App& app, Invocation& invocation) {
  CLI::App* sim = app.add_subcommand("sim", "run the planner in virtual time");
  sim->require_subcommand(1);
  const auto runs = std::make_shared<std::uint32_t>(20);  // lives as long as the callback that shares it
  CLI::App* table = sim->add_subcommand("links", "every policy on links of 5 Mbit/s to 10 Gbit/s that waver");
  table->add_option("--runs", *runs, "seeds per policy and link")->check(CLI::Range(1, 1000));
  table->callback(
      [&invocation, runs] { invocation.run = [&invocation, runs] { return links(*runs, invocation.json); }; });
}

}  // namespace sluice::programs
