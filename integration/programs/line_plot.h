// A picture of an experiment as one SVG file that stands alone: lines over a linear or logarithmic axis.
// Place in the flow: scheduler/sim's Picture -> here -> a file for the documents.
// Invariant: every line carries its name beside its end and a dash of its own, so nothing is told by colour alone.
#pragma once

#include <string>

#include "scheduler/sim/report.h"

namespace sluice::programs {

/// A whole SVG document; the same bytes for the same picture.  Threads: pure.
std::string draw_lines(const scheduler::sim::Picture& picture);

}  // namespace sluice::programs
