// Measures what this node's codec and engine cost, at start-up, on rows of the model's own shape: the planner's figures
// begin here and are then corrected by what requests really take. Takes a few tens of milliseconds and a short prefill.
#pragma once

#include <span>

#include "base/clock.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/engine.h"
#include "integration/unit_coder.h"
#include "scheduler/part_set.h"
#include "scheduler/quality.h"

namespace sluice::integration {

/// Bits of raw rows per second that one worker makes of each part (for a refinement: of all stages up to it).
/// Errors: those of the codec.
Result<scheduler::PartTable<BitsPerSecond>> measure_decode(UnitCoder& coder, const ModelDescription& model,
                                                           std::uint32_t group_layers, const Clock& clock);

/// What a profile states of a level's stages, base first, as the planner counts quality: exp(-mean KL). Stages of which
/// it states nothing keep the points that nobody measured.  Threads: pure.
scheduler::QualityCurve stated_curve(std::span<const codec::StageQuality> stages);

/// What an engine's own steps take; zero where it was not measured.
struct EngineCosts {
  Duration prefill_per_token{0};
  Duration inject_per_token{0};
  /// From the last prompt token to the first new one.
  Duration first_token{0};
};

/// Runs a short prompt through the engine: what a request's deadline must leave for after the delivery, and what a
/// recompute would take. All zero for an engine that cannot compute any prompt.  Threads: as the engine.
EngineCosts measure_engine(Engine& engine, const Clock& clock);

}  // namespace sluice::integration
