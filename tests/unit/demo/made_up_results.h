// Results and a backend that tests make up: a daemon pair whose times follow from rate and size alone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "integration/demo/runner.h"

namespace sluice::integration::demo {

/// Answers as an ideal link would: raw is 10 MB, the other schemes a stated share of it, recompute takes 2 s.
class MadeUpBackend final : public Backend {
 public:
  Result<void> use_link(BitsPerSecond rate) override {
    rate_ = rate;
    rates.push_back(rate);
    return {};
  }
  Result<ArmResult> ask(const ArmRequest& request) override {
    asked.push_back(request);
    if (request.policy == broken_policy && rates.size() > 1) return Error{ErrorCode::kPeerLost, 0, "made up"};
    ArmResult result;
    result.request = asked.size();
    result.outcome = request.mode == "recompute" ? "recomputed" : "delivered";
    result.raw = Bytes(10'000'000);
    result.tokens = {1, 2, 3, request.policy == "cachegen" ? 9 : 4};
    result.logits_hash = request.mode == "recompute" ? "00ff" : request.policy == "raw" ? raw_logits : "ff00";
    result.split.prefill = std::chrono::milliseconds(5);
    result.ttft = std::chrono::seconds(2);
    if (request.mode == "recompute") return result;
    const std::map<std::string, std::uint64_t> share = {{"raw", 100}, {"int8", 50}, {"cachegen", 30}, {"sluice", 15}};
    result.wire = result.raw * share.at(request.policy) / 100;
    result.bits_per_value = 16.0 * static_cast<double>(share.at(request.policy)) / 100;
    result.ttft = rate_.is_zero() ? Duration(1) : time_to_send(result.wire, rate_);
    result.parts = {{"base", 4}};
    if (!request.score_against.empty())
      result.divergence = Divergence{.mean = 0.01, .p99 = 0.1, .max = 0.2, .top1 = 0.9};
    result.peer = {.prefill = std::chrono::milliseconds(100),
                   .encode = std::chrono::milliseconds(1),
                   .first_part_sent = std::chrono::milliseconds(20),
                   .prefill_end = std::chrono::milliseconds(100)};
    return result;
  }
  std::string engine() override { return "made-up <engine> & co"; }
  std::string emulation() override { return "a made-up link"; }
  void read_metrics(DemoResults& results) override { results.metrics["decode"] = {"sluice_bytes_total 1"}; }

  std::vector<BitsPerSecond> rates;
  std::vector<ArmRequest> asked;
  std::string broken_policy = "none";
  std::string raw_logits = "00ff";  ///< hash of raw's; by default that of no hand-off

 private:
  BitsPerSecond rate_;
};

/// A whole run against the made-up backend.
inline Result<DemoResults> made_up_run(MadeUpBackend& backend, DemoOptions options = {}) {
  if (options.links.empty()) options.links = default_links(options.quick);
  return run_scenes(options, {.hand_over = "short", .reuse = "long"}, backend, [](std::string_view) {});
}

}  // namespace sluice::integration::demo
