// What a run of the demo found, as plain values: written by the runner, read by verdicts and reports.
// Invariant: a cell whose `error` is set has no figures; nothing here is estimated.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "integration/demo/arm.h"
#include "integration/demo/plan.h"

namespace sluice::integration::demo {

/// One scheme in one scene on one link.
struct Cell {
  Scheme scheme = Scheme::kRaw;
  ArmResult result;              ///< of the first run
  std::vector<Duration> ttfts;   ///< of all runs
  std::string error;             ///< why there is no result
  std::size_t equal_tokens = 0;  ///< leading greedy tokens equal to no hand-off
  std::size_t compared_tokens = 0;
  bool equal_logits = false;  ///< hash of all logits equal to no hand-off

  bool measured() const { return error.empty() && !ttfts.empty(); }
  /// Median over the runs (the lower of two); zero when there is none.
  Duration ttft() const;
};

/// One scene on one link.
struct LinkResult {
  LinkSpec link;
  Duration deadline{0};
  std::vector<Cell> cells;
  /// Time to first token of raw after a prefill that had ended before anything was sent; hand-over only.
  std::optional<Duration> store_and_forward;

  const Cell* cell(Scheme scheme) const;
  /// Whether the cell was delivered (or recomputed) by the deadline.
  bool on_time(const Cell& cell) const { return cell.measured() && cell.ttft() <= deadline; }
};

/// One scene on all links.
struct SceneResult {
  Scene scene = Scene::kReuse;
  Bytes raw;       ///< size of the prompt's KV as fp16
  Cell recompute;  ///< no hand-off: no link is in it, so it is measured once and stands beside every link's cells
  std::vector<LinkResult> links;
};

/// All of it.
struct DemoResults {
  std::string engine;
  std::string emulation;  ///< which link was built, in words
  std::string codec;      ///< with which profile nested parts were coded, in words
  bool quick = false;
  bool scored = true;  ///< false: a recorded engine, whose prefill pace and tokens are no result; nothing is judged
  std::vector<SceneResult> scenes;
  /// Role of the daemon -> lines of its /metrics that tell of transfers.
  std::map<std::string, std::vector<std::string>> metrics;

  const SceneResult* scene(Scene wanted) const;
};

/// Milliseconds of a time, with fraction.  Threads: pure.
double in_milliseconds(Duration span);

}  // namespace sluice::integration::demo
