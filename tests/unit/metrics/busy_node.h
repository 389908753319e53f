// One of every event, as a busy node would emit them; so that a rendering has every metric with something in it.
#pragma once

#include "metrics/counters.h"

namespace sluice::metrics::testing_support {

CountersOptions example_options();
/// Emits at least one event of every kind.
void make_busy(EventSink& sink);

}  // namespace sluice::metrics::testing_support
