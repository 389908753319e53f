// `sluice demo` from options to exit code: folder, signals, link, daemons, scenes, reports, and an orderly end.
// Invariant: whatever ends it (success, failure, Ctrl-C), no process, namespace or folder of its own stays behind, but
// for what --keep asked to keep.
#pragma once

#include <string>

#include "integration/demo/plan.h"

namespace sluice::integration::demo {

/// Runs the demo. Progress goes to standard error; the table to standard output, or to standard error when the JSON
/// goes there (--json /dev/stdout or -). Returns: 0 when the run is complete, whatever its verdicts; 1 when it failed;
/// 2 when an option is wrong; 130 when stopped by a signal. Threads: the main thread, before any other was started (it
/// blocks signals for all).
int run_demo(const DemoOptions& asked, const std::string& self);

}  // namespace sluice::integration::demo
