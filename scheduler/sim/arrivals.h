// Requests of a recorded service: when they came and how long they were.
// Place in the flow: a CSV that a program reads (scheduler/sim/data) -> here -> jobs of an experiment.
#pragma once

#include <string_view>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"

namespace sluice::scheduler::sim {

/// Threads: a value.
struct Arrival {
  Duration at{0};
  Tokens prompt;
  Tokens answer;
  /// Tokens from the front that an earlier prompt had, too.
  Tokens known_before;
};

/// Reads lines of timestamp_ms,input_tokens,output_tokens,prefix_blocks after a line of names; the blocks are of 512.
/// Errors: kInvalidArgument (native: the line's number) for anything else, or times that go back.  Threads: pure.
Result<std::vector<Arrival>> parse_arrivals(std::string_view csv);

/// Arrivals that share a time are spread, in order, over the time until the next; `seed` says where.  Threads: pure.
std::vector<Arrival> spread_out(std::vector<Arrival> arrivals, std::uint64_t seed);

}  // namespace sluice::scheduler::sim
