// The terminal's view of a run: one block per scene and link, then what was promised and whether it holds.
#include <fmt/format.h>

#include "integration/demo/report.h"

namespace sluice::integration::demo {

namespace {

std::string parts_of(const ArmResult& result) {
  std::string text;
  for (const auto& [part, count] : result.parts) {
    if (count != 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", part, count);
  }
  return text;
}

std::string row(const LinkResult& link, const Cell& cell) {
  if (!cell.measured()) return fmt::format("  {:<16} failed: {}\n", scheme_name(cell.scheme), cell.error);
  const ArmResult& result = cell.result;
  const Split& split = result.split;
  const std::string tokens =
      cell.compared_tokens == 0
          ? std::string(cell.scheme == Scheme::kRecompute ? "reference" : "-")
          : fmt::format("{}/{}{}", cell.equal_tokens, cell.compared_tokens, cell.equal_logits ? " =" : "");
  const std::string divergence = result.divergence ? fmt::format("{:.4f}", result.divergence->mean) : "-";
  std::string text = fmt::format(
      "  {:<16}{:>8.0f} {:<8}{:>8.2f}{:>7.2f} |{:>7.0f}{:>7.0f}{:>7.0f}{:>7.0f}{:>7.0f}{:>7.0f} | {:<10}{:>8}  {}\n",
      scheme_name(cell.scheme), in_milliseconds(cell.ttft()), link.on_time(cell) ? "on time" : "late",
      static_cast<double>(result.wire.count()) / 1e6, result.bits_per_value, in_milliseconds(split.prefill),
      in_milliseconds(split.encode), in_milliseconds(split.wire), in_milliseconds(split.decode),
      in_milliseconds(split.inject), in_milliseconds(split.first_token), tokens, divergence, parts_of(result));
  if (result.outcome == "recomputed" && cell.scheme != Scheme::kRecompute) {
    text += fmt::format("  {:<16}fell back to recompute: {}\n", "", result.reason);
  }
  return text;
}

std::string link_block(const SceneResult& scene, const LinkResult& link) {
  std::string text = fmt::format("\n{} over {} ({}), deadline {:.0f} ms, KV {:.1f} MB as fp16\n",
                                 scene_name(scene.scene), link.link.name, stands_for(link.link.rate),
                                 in_milliseconds(link.deadline), static_cast<double>(scene.raw.count()) / 1e6);
  text += fmt::format("  {:<16}{:>8} {:<8}{:>8}{:>7} |{:>7}{:>7}{:>7}{:>7}{:>7}{:>7} | {:<10}{:>8}  {}\n", "scheme",
                      "TTFT ms", "", "wire MB", "b/val", "prefil", "encode", "wire", "decode", "inject", "token",
                      "tokens =", "KL", "parts");
  for (const Cell& cell : link.cells) text += row(link, cell);
  const LinkRatios ratios = ratios_of(link);
  if (ratios.first_byte_before_prefill_end_ms) {
    text += fmt::format("  first bytes on the wire {:.0f} ms before prefill ended\n",
                        *ratios.first_byte_before_prefill_end_ms);
  }
  if (link.store_and_forward && ratios.raw_after_prefill_ms) {
    text += fmt::format(
        "  raw, first token after the last prefill layer: {:.0f} ms streamed, {:.0f} ms stored and forwarded\n",
        *ratios.raw_after_prefill_ms, in_milliseconds(*link.store_and_forward));
  }
  return text;
}

}  // namespace

std::string table_report(const DemoResults& results) {
  std::string text = fmt::format("\nengine: {}\nlink: {}\ncodec: {}\ndeadline: {}\n", results.engine, results.emulation,
                                 results.codec, deadline_rule());
  text +=
      "tokens =: greedy tokens equal to no hand-off, '=' when all logits are bit-equal; KL: mean nats per token of the "
      "teacher-forced continuation\n";
  for (const SceneResult& scene : results.scenes) {
    for (const LinkResult& link : scene.links) text += link_block(scene, link);
  }
  text += "\n";
  for (const auto& [role, lines] : results.metrics) {
    text += fmt::format("metrics of the {} daemon (last link):\n", role);
    for (const std::string& line : lines) text += "  " + line + "\n";
  }
  if (!results.scored) {
    return text +
           "\nno promise is judged: the recorded engine replays tokens and a made-up prefill pace; bytes and wire "
           "times are real\n";
  }
  text += "\nwhat is promised:\n";
  for (const Verdict& verdict : judge(results)) {
    text += fmt::format("  {:<24}{:<12} {}: {}\n", verdict.claim, verdict.holds ? "holds" : "falls short",
                        verdict.sentence, verdict.figure);
  }
  return text;
}

}  // namespace sluice::integration::demo
