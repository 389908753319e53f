// Carries the comparison out: warms each scene up, then on each link recompute, the baselines and Sluice, with repeats
// interleaved where noise matters, and says how it goes while it does.
// Invariants: the decode daemon is fresh on each link, so no scheme profits from what another taught the estimator of
// an earlier link; each arm of a link is asked the same text with the same deadline.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "integration/demo/arm.h"
#include "integration/demo/results.h"

namespace sluice::integration::demo {

/// The two daemons and the link between them, as the runner sees them. A seam: tests put a made-up one here.
/// Threads: one.
class Backend {
 public:
  virtual ~Backend() = default;
  /// Shapes the link and starts a fresh decode daemon behind it. A rate of zero: not shaped.
  virtual Result<void> use_link(BitsPerSecond rate) = 0;
  virtual Result<ArmResult> ask(const ArmRequest& request) = 0;
  virtual std::string engine() = 0;
  virtual std::string emulation() = 0;
  /// Lines of both daemons' metrics that tell of transfers, added to `results`.
  virtual void read_metrics(DemoResults& results) = 0;
};

/// The texts of the two scenes.
struct ScenePrompts {
  std::string hand_over;
  std::string reuse;
};

/// Hears one line of progress at a time.
using Progress = std::function<void(std::string_view)>;

/// Runs every scene on every link. Arms that fail are in the results with their error; the rest goes on.
/// Errors:  that of the backend when daemons or links cannot be had at all; kAborted when stopped before any result.
Result<DemoResults> run_scenes(const DemoOptions& options, const ScenePrompts& prompts, Backend& backend,
                               const Progress& progress);

}  // namespace sluice::integration::demo
