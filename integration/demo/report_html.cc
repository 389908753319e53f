// The page of a run: what was promised, a plot per scene and link of where the time went, quality against size, and the
// table with every figure. Nothing is fetched from elsewhere.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "integration/demo/report.h"
#include "integration/demo/svg_plot.h"

namespace sluice::integration::demo {

namespace {

constexpr std::string_view kStyle = R"css(
:root{--ground:#fff;--ink:#1c2024;--soft:#5b6570;--grid:#dfe3e8;--a:#E69F00;--b:#56B4E9;--c:#0072B2;--d:#009E73;--e:#CC79A7;--f:#D55E00;--g:#9aa3ad}
@media (prefers-color-scheme:dark){:root{--ground:#14171a;--ink:#e8eaed;--soft:#a4adb6;--grid:#343a41;--c:#3b9be0}}
body{background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2}svg{width:100%;height:auto;margin:.6rem 0;font:12px system-ui,sans-serif}svg text{fill:var(--ink)}
svg .title{font-weight:600;font-size:13px}svg .tick{fill:var(--soft)}.grid{stroke:var(--grid)}.limit{stroke:var(--ink);stroke-dasharray:5 4;stroke-width:1.5}
.prefill{fill:var(--a);background:var(--a)}.encode{fill:var(--b);background:var(--b)}.wire{fill:var(--c);background:var(--c)}
.decode{fill:var(--d);background:var(--d)}.inject{fill:var(--e);background:var(--e)}.token{fill:var(--f);background:var(--f)}
.other{fill:var(--g);background:var(--g)}.key span{display:inline-block;width:.9em;height:.9em;margin:0 .3em 0 1em;vertical-align:-.1em}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--grid);text-align:right;white-space:nowrap}
th:first-child,td:first-child,td.text{text-align:left}pre{overflow-x:auto;font-size:12px;color:var(--soft)}.short{font-weight:700}
)css";

/// Classes of the schemes in the plots that compare them.
std::string_view scheme_class(Scheme scheme) {
  switch (scheme) {
    case Scheme::kRecompute:
      return "other";
    case Scheme::kRaw:
      return "prefill";
    case Scheme::kInt8:
      return "encode";
    case Scheme::kCacheGen:
      return "inject";
    case Scheme::kSluice:
      return "wire";
  }
  return "other";
}

/// The split as pieces of a bar as long as the time to first token: stages that overlap are shown in proportion, what
/// no stage accounts for as "other".
std::vector<Segment> segments_of(const Cell& cell) {
  const Split& split = cell.result.split;
  std::vector<Segment> segments = {{"prefill", "prefill", in_milliseconds(split.prefill)},
                                   {"encode", "encode", in_milliseconds(split.encode)},
                                   {"wire", "wire", in_milliseconds(split.wire)},
                                   {"decode", "decode", in_milliseconds(split.decode)},
                                   {"inject", "inject", in_milliseconds(split.inject)},
                                   {"first token", "token", in_milliseconds(split.first_token)}};
  double sum = 0;
  for (const Segment& segment : segments) sum += segment.value;
  const double ttft = in_milliseconds(cell.result.ttft);
  if (sum > ttft && sum > 0) {
    for (Segment& segment : segments) segment.value *= ttft / sum;
  } else {
    segments.push_back({"other", "other", ttft - sum});
  }
  return segments;
}

std::string time_plot(const SceneResult& scene, const LinkResult& link) {
  BarPlot plot{
      .title = fmt::format("{} over {} ({})", scene_name(scene.scene), link.link.name, stands_for(link.link.rate)),
      .unit = "ms",
      .limit = in_milliseconds(link.deadline),
      .limit_name = fmt::format("deadline {:.0f} ms", in_milliseconds(link.deadline))};
  for (const Cell& cell : link.cells) {
    Bar bar{.label = std::string(scheme_name(cell.scheme)), .note = "failed: " + cell.error};
    if (cell.measured()) {
      bar.note = fmt::format("{:.0f} ms{}", in_milliseconds(cell.ttft()), link.on_time(cell) ? "" : ", late");
      bar.segments = segments_of(cell);
    }
    plot.bars.push_back(std::move(bar));
  }
  return draw(plot);
}

std::string wire_plot(const SceneResult& scene, const LinkResult& link) {
  BarPlot plot{.title = fmt::format("bytes on the wire, {} over {}", scene_name(scene.scene), link.link.name),
               .unit = "MB"};
  for (const Cell& cell : link.cells) {
    if (!cell.measured() || cell.scheme == Scheme::kRecompute) continue;
    const double megabytes = static_cast<double>(cell.result.wire.count()) / 1e6;
    plot.bars.push_back({.label = std::string(scheme_name(cell.scheme)),
                         .note = fmt::format("{:.2f} MB", megabytes),
                         .segments = {{"wire", "wire", megabytes}}});
  }
  return draw(plot);
}

std::string quality_plot(const DemoResults& results) {
  ScatterPlot plot{.title = "damage against size: every delivered arm, lower left is better",
                   .x_name = "bits per value, everything counted",
                   .y_name = "mean KL, nats per token (log)"};
  for (const SceneResult& scene : results.scenes) {
    for (const LinkResult& link : scene.links) {
      for (const Cell& cell : link.cells) {
        if (!cell.measured() || cell.result.outcome != "delivered" || !cell.result.divergence) continue;
        plot.points.push_back(
            {.x = cell.result.bits_per_value,
             .y = cell.result.divergence->mean,
             .css_class = std::string(scheme_class(cell.scheme)),
             .name = fmt::format("{}, {}, {}", scheme_name(cell.scheme), scene_name(scene.scene), link.link.name)});
      }
    }
  }
  if (plot.points.empty()) return "<p>No KL: the recorded engine cannot compute logits of changed KV.</p>";
  std::string key = "<p class=\"key\">";
  for (const Scheme scheme : kAllSchemes) {
    if (scheme != Scheme::kRecompute)
      key += fmt::format("<span class=\"{}\"></span>{}", scheme_class(scheme), scheme_name(scheme));
  }
  return key + "</p>" + draw(plot);
}

std::string table_row(const SceneResult& scene, const LinkResult& link, const Cell& cell) {
  std::string row =
      fmt::format("<tr><td>{}</td><td class=\"text\">{}</td><td class=\"text\">{}</td>", scene_name(scene.scene),
                  link.link.name, escaped(std::string(scheme_name(cell.scheme))));
  if (!cell.measured())
    return row + fmt::format("<td class=\"text\" colspan=\"8\">failed: {}</td></tr>", escaped(cell.error));
  const ArmResult& result = cell.result;
  const auto kl = [&](double Divergence::*field) {
    return result.divergence ? fmt::format("{:.4f}", (*result.divergence).*field) : std::string("-");
  };
  return row + fmt::format(
                   "<td>{:.0f}</td><td>{}</td><td>{:.2f}</td><td>{:.2f}</td><td>{}/{}{}</td><td>{}</td><td>{}</td>"
                   "<td class=\"text\">{} {}</td></tr>",
                   in_milliseconds(cell.ttft()), link.on_time(cell) ? "yes" : "no",
                   static_cast<double>(result.wire.count()) / 1e6, result.bits_per_value, cell.equal_tokens,
                   cell.compared_tokens, cell.equal_logits ? ", all logits" : "", kl(&Divergence::mean),
                   kl(&Divergence::p99), escaped(result.outcome), escaped(result.reason));
}

std::string table(const DemoResults& results) {
  std::string html =
      "<div class=\"scroll\"><table><tr><th>scene</th><th>link</th><th>scheme</th><th>TTFT ms</th><th>on "
      "time</th><th>wire MB</th>"
      "<th>bits/value</th><th>equal tokens</th><th>KL mean</th><th>KL p99</th><th>outcome</th></tr>";
  for (const SceneResult& scene : results.scenes) {
    for (const LinkResult& link : scene.links) {
      for (const Cell& cell : link.cells) html += table_row(scene, link, cell);
    }
  }
  return html + "</table></div>";
}

std::string promises(const DemoResults& results) {
  if (!results.scored) {
    return "<p>Nothing is judged: the recorded engine replays tokens and a made-up prefill pace; bytes and wire times "
           "are "
           "real.</p>";
  }
  std::string html = "<ul>";
  for (const Verdict& verdict : judge(results)) {
    html += fmt::format("<li>{} <b class=\"{}\">{}</b>: {}: {}</li>", verdict.claim, verdict.holds ? "" : "short",
                        verdict.holds ? "holds" : "falls short", escaped(verdict.sentence), escaped(verdict.figure));
  }
  return html + "</ul>";
}

constexpr std::string_view kTimeKey =
    "<p class=\"key\">Where the time to the first token went:<span class=\"prefill\"></span>prefill<span "
    "class=\"encode\"></span>"
    "encode<span class=\"wire\"></span>wire<span class=\"decode\"></span>decode<span "
    "class=\"inject\"></span>inject<span "
    "class=\"token\"></span>first token<span class=\"other\"></span>other. In a hand-over the stages overlap: their "
    "shares are "
    "shown. In a recompute, prefill is the decode node's own.</p>";

}  // namespace

std::string html_report(const DemoResults& results) {
  std::string html = fmt::format(
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>Sluice demo</title><style>{}</style></head><body>",
      kStyle);
  html += fmt::format("<h1>Sluice demo{}</h1><p>Engine: {}. Link: {}. Codec: {}.</p><p>Deadlines: {}.</p>",
                      results.quick ? " (quick)" : "", escaped(results.engine), escaped(results.emulation),
                      escaped(results.codec), escaped(std::string(deadline_rule())));
  html += "<h2>What is promised</h2>" + promises(results) + "<h2>Time to first token</h2>" + std::string(kTimeKey);
  for (const SceneResult& scene : results.scenes) {
    for (const LinkResult& link : scene.links) html += time_plot(scene, link);
  }
  html += "<h2>Quality</h2>" + quality_plot(results) + "<h2>Bytes</h2>";
  for (const SceneResult& scene : results.scenes) {
    for (const LinkResult& link : scene.links) html += wire_plot(scene, link);
  }
  html += "<h2>Every figure</h2>" + table(results) + "<h2>Metrics of the daemons</h2>";
  for (const auto& [role, lines] : results.metrics) {
    html += fmt::format("<h3>{}</h3><pre>", escaped(role));
    for (const std::string& line : lines) html += escaped(line) + "\n";
    html += "</pre>";
  }
  return html + "</body></html>\n";
}

}  // namespace sluice::integration::demo
