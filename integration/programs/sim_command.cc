// `sluice sim links`: the planner and the policies it is compared with on simulated links, as the table that
// docs/benchmarks shows; `sluice sim run NAME`: an experiment of scheduler/sim as a table, as JSON and as pictures.
// Virtual time and fixed seeds: the same bytes on every machine.
#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "integration/demo/plan.h"
#include "integration/file_output.h"
#include "integration/programs/command_line.h"
#include "integration/programs/line_plot.h"
#include "scheduler/sim/experiment.h"
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

std::string markdown_of(const scheduler::sim::Report& report) {
  std::string text = fmt::format("{}\n\n{}\n\n", report.title, report.setting);
  const auto add = [&](const std::vector<std::string>& cells) {
    text += fmt::format("| {} |\n", fmt::join(cells, " | "));
  };
  add(report.columns);
  text += "|";
  for (std::size_t i = 0; i < report.columns.size(); ++i) text += "---|";
  text += "\n";
  for (const std::vector<std::string>& row : report.rows) add(row);
  return text;
}

/// The most memory that this process has had, in 10^6 bytes.
double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
}

/// `took` is the run's own time, which no two runs share: it is told in JSON only.
json json_of(const scheduler::sim::Report& report, Duration took) {
  json figures = json::object();
  for (const scheduler::sim::Figure& figure : report.figures) figures[figure.name] = figure.value;
  json rows = json::array();
  for (const std::vector<std::string>& row : report.rows) {
    json cells = json::object();
    for (std::size_t i = 0; i < row.size(); ++i) cells[report.columns[i]] = row[i];
    rows.push_back(cells);
  }
  return {{"title", report.title},       {"setting", report.setting},
          {"figures", figures},          {"took_s", milliseconds(took) / 1000},
          {"peak_mb", peak_megabytes()}, {"rows", rows}};
}

Result<std::vector<scheduler::sim::Arrival>> read_conversation() {
  std::ifstream file(SLUICE_CONVERSATION);
  const std::string csv((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (csv.empty()) return Error{ErrorCode::kNotFound, 0, "recorded conversation"};
  return scheduler::sim::parse_arrivals(csv);
}

ExitCode run_experiment(const scheduler::sim::Experiment& experiment, const std::string& svg, bool as_json) {
  scheduler::sim::Inputs inputs;
  auto conversation = read_conversation();
  if (!conversation) {
    fmt::print(stderr, "sluice: cannot read {}: run it in the tree that it was built from\n", SLUICE_CONVERSATION);
    return ExitCode::kFailed;
  }
  inputs.conversation = std::move(*conversation);
  const MonotonicClock clock;
  const scheduler::sim::Report report = experiment.run(inputs);
  if (as_json) fmt::print("{}\n", json_of(report, clock.now().since_start()).dump(2));
  if (!as_json) fmt::print("{}", markdown_of(report));
  if (svg.empty()) return ExitCode::kOk;
  if (report.pictures.empty()) {
    fmt::print(stderr, "sluice: {} has no picture; leave --svg out\n", experiment.name);
    return ExitCode::kUsage;
  }
  const std::string drawn = draw_lines(report.pictures.front());
  const Result<void> written = integration::replace_file(svg, std::as_bytes(std::span(drawn)));
  if (written) return ExitCode::kOk;
  fmt::print(stderr, "sluice: cannot write {}\n", svg);
  return ExitCode::kFailed;
}

void add_run_commands(CLI::App& sim, Invocation& invocation) {
  CLI::App* run = sim.add_subcommand("run", "an experiment: a table, or JSON, and a picture");
  run->require_subcommand(1);
  for (const scheduler::sim::Experiment& experiment : scheduler::sim::all_experiments()) {
    const auto svg = std::make_shared<std::string>();  // lives as long as the callback that shares it
    CLI::App* one = run->add_subcommand(std::string(experiment.name), std::string(experiment.summary));
    one->add_option("--svg", *svg, "file for the picture");
    one->callback([&invocation, &experiment, svg] {
      invocation.run = [&invocation, &experiment, svg] { return run_experiment(experiment, *svg, invocation.json); };
    });
  }
}

}  // namespace

void add_sim_command(CLI::App& app, Invocation& invocation) {
  CLI::App* sim = app.add_subcommand("sim", "run the planner in virtual time");
  sim->require_subcommand(1);
  const auto runs = std::make_shared<std::uint32_t>(20);  // lives as long as the callback that shares it
  add_run_commands(*sim, invocation);
  CLI::App* table = sim->add_subcommand("links", "every policy on links of 5 Mbit/s to 10 Gbit/s that waver");
  table->add_option("--runs", *runs, "seeds per policy and link")->check(CLI::Range(1, 1000));
  table->callback(
      [&invocation, runs] { invocation.run = [&invocation, runs] { return links(*runs, invocation.json); }; });
}

}  // namespace sluice::programs
