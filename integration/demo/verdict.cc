#include "integration/demo/verdict.h"

#include <fmt/format.h>

#include <functional>

namespace sluice::integration::demo {

namespace {

std::optional<double> ratio(const Cell* over, const Cell* under) {
  if (over == nullptr || under == nullptr || !over->measured() || !under->measured()) return std::nullopt;
  if (under->ttft().count() <= 0) return std::nullopt;
  return static_cast<double>(over->ttft().count()) / static_cast<double>(under->ttft().count());
}

/// One value of one link, with where it comes from.
struct Found {
  double value;
  std::string place;
};

using Reader = std::function<std::optional<double>(const LinkResult&)>;

std::vector<Found> collect(const DemoResults& results, std::optional<Scene> only, const Reader& read) {
  std::vector<Found> found;
  for (const SceneResult& scene : results.scenes) {
    if (only && scene.scene != *only) continue;
    for (const LinkResult& link : scene.links) {
      const std::optional<double> value = read(link);
      if (value) found.push_back({*value, fmt::format("{}, {}", scene_name(scene.scene), link.link.name)});
    }
  }
  return found;
}

enum class Want { kAtLeast, kAbove, kAtMost };

/// What is promised of every value.
struct Bar {
  Want want;
  double limit;
  std::string_view format;
};

bool passes(double value, const Bar& bar) {
  switch (bar.want) {
    case Want::kAtLeast:
      return value >= bar.limit;
    case Want::kAbove:
      return value > bar.limit;
    case Want::kAtMost:
      return value <= bar.limit;
  }
  return false;
}

void add(std::vector<Verdict>& verdicts, const std::vector<Found>& found, Verdict verdict, const Bar& bar) {
  if (found.empty()) return;
  const Found* worst = &found.front();
  for (const Found& value : found) {
    const bool worse = bar.want == Want::kAtMost ? value.value > worst->value : value.value < worst->value;
    if (worse) worst = &value;
  }
  verdict.holds = passes(worst->value, bar);
  verdict.figure = fmt::format("{} ({})", fmt::format(fmt::runtime(bar.format), worst->value), worst->place);
  verdicts.push_back(std::move(verdict));
}

/// 1 where Sluice was on time, 0 where it was not; only links whose deadline raw misses.
std::optional<double> met_where_raw_misses(const LinkResult& link) {
  const Cell* raw = link.cell(Scheme::kRaw);
  const Cell* sluice = link.cell(Scheme::kSluice);
  if (raw == nullptr || sluice == nullptr || !raw->measured() || link.on_time(*raw)) return std::nullopt;
  return link.on_time(*sluice) ? 1.0 : 0.0;
}

}  // namespace

LinkRatios ratios_of(const LinkResult& link) {
  const Cell* raw = link.cell(Scheme::kRaw);
  const Cell* sluice = link.cell(Scheme::kSluice);
  LinkRatios ratios{.raw_over_sluice = ratio(raw, sluice),
                    .recompute_over_sluice = ratio(link.cell(Scheme::kRecompute), sluice),
                    .sluice_over_raw = ratio(sluice, raw),
                    .met_where_raw_misses = met_where_raw_misses(link)};
  const auto streams = [](const Cell* cell) {
    return cell != nullptr && cell->measured() && cell->result.outcome == "delivered" &&
           cell->result.peer.prefill_end.count() > 0;
  };
  if (streams(sluice) && sluice->result.peer.first_part_sent.count() >= 0) {
    ratios.first_byte_before_prefill_end_ms =
        in_milliseconds(sluice->result.peer.prefill_end - sluice->result.peer.first_part_sent);
  }
  if (streams(raw)) ratios.raw_after_prefill_ms = in_milliseconds(raw->result.ttft - raw->result.peer.prefill_end);
  return ratios;
}

std::vector<Verdict> judge(const DemoResults& results) {
  std::vector<Verdict> verdicts;
  if (!results.scored) return verdicts;
  const auto slow_gain = [](const LinkResult& link) {
    return link.link.rate <= kSlowLink ? ratios_of(link).raw_over_sluice : std::nullopt;
  };
  add(verdicts, collect(results, Scene::kReuse, slow_gain),
      {.claim = "foundation.3-gain",
       .sentence = "reuse: raw's time to first token over Sluice's, links up to 50 Mbit/s, >= 2.5"},
      {Want::kAtLeast, 2.5, "{:.2f}x"});
  add(verdicts,
      collect(results, Scene::kReuse, [](const LinkResult& link) { return ratios_of(link).recompute_over_sluice; }),
      {.claim = "foundation.3-recompute",
       .sentence = "reuse: recompute's time to first token over Sluice's, every link, > 1"},
      {Want::kAbove, 1.0, "{:.2f}x"});
  add(verdicts,
      collect(results, std::nullopt, [](const LinkResult& link) { return ratios_of(link).met_where_raw_misses; }),
      {.claim = "foundation.3-deadline",
       .sentence = "stated deadlines met by Sluice wherever raw misses them (1 = all)"},
      {Want::kAtLeast, 1.0, "{:.0f}"});
  add(verdicts, collect(results, std::nullopt, [](const LinkResult& link) { return ratios_of(link).sluice_over_raw; }),
      {.claim = "foundation.3-raw", .sentence = "Sluice's time to first token over raw's, every link, <= 1.02"},
      {Want::kAtMost, 1.02, "{:.3f}x"});
  add(verdicts,
      collect(results, Scene::kHandOver,
              [](const LinkResult& link) { return ratios_of(link).first_byte_before_prefill_end_ms; }),
      {.claim = "foundation.4", .sentence = "hand-over: first bytes on the wire before prefill ends, > 0 ms"},
      {Want::kAbove, 0.0, "{:.0f} ms"});
  return verdicts;
}

}  // namespace sluice::integration::demo
