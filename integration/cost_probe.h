// Measures what this node's codec costs, at start-up, on rows of the model's own shape: the planner's figures are
// measured here, never assumed. Takes a few tens of milliseconds.
#pragma once

#include "base/clock.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/engine.h"
#include "integration/unit_coder.h"
#include "scheduler/part_set.h"

namespace sluice::integration {

/// Bits of raw rows per second that one worker makes of each part (for a refinement: of all stages up to it).
/// Errors: those of the codec.
Result<scheduler::PartTable<BitsPerSecond>> measure_decode(UnitCoder& coder, const ModelDescription& model,
                                                           std::uint32_t group_layers, const Clock& clock);

}  // namespace sluice::integration
