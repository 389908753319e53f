// Replays the real KV of one recorded prompt, where no model can be loaded: tests of transfers, and the demo without a
// model. It cannot compute, and never pretends: any other prompt is a typed error, its name says that it is recorded,
// and generate() gives the recorded logits' hash only for rows that equal the recorded ones bit for bit.
// Invariant: what prefill puts into planes are rows that a real model made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/clock.h"
#include "base/quantity.h"
#include "base/result.h"
#include "integration/engine.h"
#include "kernels/table.h"

namespace sluice::integration::recorded {

/// What to replay, and how fast.
struct RecordedEngineOptions {
  std::filesystem::path recording;  ///< a .slk file with its .json beside; empty: the recording in the program
  /// The prompt is the recorded one this many times over, for load tests. The rows of each repetition are the recorded
  /// ones unchanged, so K stands at rotations of the first; answers are then approximate.
  std::uint32_t repetitions = 1;
  /// Pace of prefill and recompute; 0: at once. Time passes layer by layer, in the calling thread.
  Duration prefill_per_token{0};
};

/// Errors:  those of recorded::load_recording, kInvalidArgument (repetitions outside 1 to 1024), kNoMemory.
/// Ownership: the clock must outlive the engine.
Result<std::unique_ptr<Engine>> open_recorded_engine(const RecordedEngineOptions& options,
                                                     const kernels::KernelTable& kernels, const Clock& clock);

}  // namespace sluice::integration::recorded
