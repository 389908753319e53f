// The JSON view of a run: every figure of the table and the plots, and the ratios that the claims read.
#include <nlohmann/json.hpp>

#include "integration/demo/report.h"

namespace sluice::integration::demo {

namespace {

using Json = nlohmann::ordered_json;

Json split_of(const Split& split) {
  return {{"prefill", in_milliseconds(split.prefill)}, {"encode", in_milliseconds(split.encode)},
          {"wire", in_milliseconds(split.wire)},       {"decode", in_milliseconds(split.decode)},
          {"inject", in_milliseconds(split.inject)},   {"first_token", in_milliseconds(split.first_token)}};
}

Json cell_of(const LinkResult& link, const Cell& cell) {
  Json json = {{"scheme", scheme_name(cell.scheme)}};
  if (!cell.measured()) {
    json["error"] = cell.error;
    return json;
  }
  const ArmResult& result = cell.result;
  Json times = Json::array();
  for (const Duration ttft : cell.ttfts) times.push_back(in_milliseconds(ttft));
  json.update({{"outcome", result.outcome},
               {"reason", result.reason},
               {"ttft_ms", in_milliseconds(cell.ttft())},
               {"ttft_ms_of_runs", times},
               {"on_time", link.on_time(cell)},
               {"split_ms", split_of(result.split)},
               {"wire_bytes", result.wire.count()},
               {"bits_per_value", result.bits_per_value},
               {"parts", result.parts},
               {"quality_ppm", result.quality.count()},
               {"equal_tokens", cell.equal_tokens},
               {"compared_tokens", cell.compared_tokens},
               {"equal_logits", cell.equal_logits},
               {"logits_hash", result.logits_hash},
               {"first_token", result.tokens.empty() ? Json() : Json(result.tokens.front())},
               {"text", result.text}});
  if (result.divergence) {
    json["kl"] = {{"mean", result.divergence->mean},
                  {"p99", result.divergence->p99},
                  {"max", result.divergence->max},
                  {"top1", result.divergence->top1}};
  }
  if (result.peer.prefill_end.count() > 0) {
    json["peer_timing_ms"] = {{"first_part_sent", in_milliseconds(result.peer.first_part_sent)},
                              {"prefill_end", in_milliseconds(result.peer.prefill_end)}};
  }
  return json;
}

void put(Json& json, const char* key, const std::optional<double>& value) {
  if (value) json[key] = *value;
}

Json link_of(const LinkResult& link, bool scored) {
  Json json = {{"link", link.link.name},
               {"rate_bits_per_second", link.link.rate.count()},
               {"stands_for", stands_for(link.link.rate)},
               {"deadline_ms", in_milliseconds(link.deadline)}};
  const LinkRatios ratios = scored ? ratios_of(link) : LinkRatios{};
  put(json, "ttft_raw_over_sluice", ratios.raw_over_sluice);
  put(json, "ttft_recompute_over_sluice", ratios.recompute_over_sluice);
  put(json, "ttft_sluice_over_raw", ratios.sluice_over_raw);
  put(json, "met_where_raw_misses", ratios.met_where_raw_misses);
  put(json, "first_byte_before_prefill_end_ms", ratios.first_byte_before_prefill_end_ms);
  put(json, "raw_ttft_after_prefill_ms", ratios.raw_after_prefill_ms);
  if (link.store_and_forward)
    json["store_and_forward_ttft_after_prefill_ms"] = in_milliseconds(*link.store_and_forward);
  Json cells = Json::array();
  for (const Cell& cell : link.cells) cells.push_back(cell_of(link, cell));
  json["arms"] = std::move(cells);
  return json;
}

}  // namespace

std::string json_report(const DemoResults& results) {
  Json json = {{"schema", "sluice-demo-1"},           {"engine", results.engine},
               {"link_emulation", results.emulation}, {"codec", results.codec},
               {"deadline_rule", deadline_rule()},    {"quick", results.quick},
               {"engine_computes", results.scored}};
  Json all = Json::array();
  for (const SceneResult& scene : results.scenes) {
    Json links = Json::array();
    Json slow = Json::array();
    for (const LinkResult& link : scene.links) {
      links.push_back(link_of(link, results.scored));
      all.push_back(links.back());
      all.back().erase("arms");
      all.back()["scene"] = scene_key(scene.scene);
      if (link.link.rate <= kSlowLink) slow.push_back(all.back());
    }
    json[std::string(scene_key(scene.scene))] = {
        {"raw_bytes", scene.raw.count()}, {"links", std::move(links)}, {"slow_links", std::move(slow)}};
  }
  json["links"] = std::move(all);
  Json verdicts = Json::array();
  for (const Verdict& verdict : judge(results)) {
    verdicts.push_back({{"claim", verdict.claim},
                        {"sentence", verdict.sentence},
                        {"figure", verdict.figure},
                        {"holds", verdict.holds}});
  }
  json["verdicts"] = std::move(verdicts);
  json["metrics"] = results.metrics;
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sluice::integration::demo
