#include "scheduler/policy.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/planner.h"
#include "scheduler/policy_cachegen.h"
#include "scheduler/policy_level.h"

namespace sluice::scheduler {
namespace {

constexpr std::string_view kFixedPrefix = "fixed:";
constexpr Error kUnknownPolicy{ErrorCode::kInvalidArgument, 0, "policy name"};
constexpr Error kBadOptions{ErrorCode::kInvalidArgument, 0, "policy options"};

std::optional<Part> part_of(std::string_view word) {
  for (const Part part : kAllParts) {
    if (part_word(part) == word) return part;
  }
  return std::nullopt;
}

Result<std::vector<Part>> parse_parts(std::string_view list) {
  std::vector<Part> parts;
  while (true) {
    const std::size_t plus = list.find('+');
    const auto part = part_of(list.substr(0, plus));
    if (!part || std::find(parts.begin(), parts.end(), *part) != parts.end()) return kUnknownPolicy;
    parts.push_back(*part);
    if (plus == std::string_view::npos) return parts;
    list.remove_prefix(plus + 1);
  }
}

/// HiCache's own defaults of its wait for storage: a second, and a quarter of a second per 1,024 tokens.
constexpr Duration kHiCacheTimeout{1'000'000'000};
constexpr Duration kHiCachePerToken{244'140};

/// Settings of the baselines by name; see policy.h.
Result<LevelRules> rules_of(std::string_view name) {
  if (name == "everything") return LevelRules{};
  if (name == "kvserve") return LevelRules{.order = ServiceOrder::kFair, .is_envelope = true};
  if (name == "raw-fifo") return LevelRules{.parts = {Part::kRaw}, .order = ServiceOrder::kArrival};
  if (name == "raw-fair") return LevelRules{.parts = {Part::kRaw}, .order = ServiceOrder::kFair};
  if (name == "raw-drop") return LevelRules{.parts = {Part::kRaw}, .drops_late = true};
  if (name == "cake") return LevelRules{.parts = {Part::kInt8}, .order = ServiceOrder::kFair, .is_two_ended = true};
  if (name == "fp8") return LevelRules{.parts = {Part::kInt8}, .order = ServiceOrder::kArrival};
  if (name == "hicache") {
    return LevelRules{.parts = {Part::kRaw},
                      .order = ServiceOrder::kArrival,
                      .timeout = kHiCacheTimeout,
                      .timeout_per_token = kHiCachePerToken};
  }
  if (name == "lynx") {
    return LevelRules{.parts = {Part::kBase, Part::kRefinement1, Part::kRefinement2},
                      .order = ServiceOrder::kFair,
                      .anchor_parts = 2};
  }
  const bool is_short = name == "raw" || name == "lossless" || name == "int8";
  if (!is_short && !name.starts_with(kFixedPrefix)) return kUnknownPolicy;
  SLUICE_ASSIGN(std::vector<Part> parts, parse_parts(is_short ? name : name.substr(kFixedPrefix.size())));
  return LevelRules{.parts = std::move(parts)};
}

bool is_valid(const PolicyOptions& options) {
  const bool has_rates =
      std::none_of(kAllParts.begin(), kAllParts.end(), [&](Part part) { return options.decode.rate[part].is_zero(); });
  const bool has_times = options.decode.per_part.count() >= 0 && options.decode.per_request.count() >= 0 &&
                         options.deadline_guard.count() >= 0 && options.nominal_rtt.count() >= 0;
  const bool has_counts = options.decode.workers > 0 && options.attempts_per_part > 0 &&
                          options.attempts_per_part <= 100 && options.window_bdp > 0 && options.window_bdp <= 1000;
  return has_rates && has_times && has_counts && !options.nominal_rate.is_zero();
}

}  // namespace

Result<std::unique_ptr<Policy>> make_policy(std::string_view name, const PolicyOptions& options) {
  if (!is_valid(options)) return kBadOptions;
  if (name == "sluice") return std::unique_ptr<Policy>(std::make_unique<Planner>(options));
  if (name == "cachegen" || name == "cachegen-artifact") {
    const CacheGenRule rule = name == "cachegen" ? CacheGenRule::kPaper : CacheGenRule::kArtifact;
    return std::unique_ptr<Policy>(std::make_unique<CacheGenPolicy>(rule, options));
  }
  if (name == "recompute") return std::unique_ptr<Policy>(std::make_unique<RecomputePolicy>(options));
  SLUICE_ASSIGN(LevelRules rules, rules_of(name));
  return std::unique_ptr<Policy>(std::make_unique<LevelPolicy>(std::string(name), std::move(rules), options));
}

}  // namespace sluice::scheduler
