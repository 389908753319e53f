// What the codec makes of a unit, as data: bits a value and quality of every part, as the quality harness measured
// them, and what decode costs. Place in the flow: experiments -> jobs' sizes and the policy's options. Invariant: the
// figures of each model are those of data/quality.json, one report of the harness that is kept so that experiments stay
// what they were when the page of docs/benchmarks is measured again; a test checks it.
#pragma once

#include <string_view>

#include "scheduler/policy.h"

namespace sluice::scheduler::sim {

/// Threads: a value.
struct CodecModel {
  std::string_view name;
  /// Thousandths of a bit for each value of 16 bits; zero: the part is not offered.
  PartTable<std::uint64_t> millibits;
  /// exp(-mean KL), in millionths.
  QualityCurve quality;
  DecodeCosts decode;

  /// Wire sizes of a unit whose rows are `raw` bytes, 64 bytes of header each.
  PartSizes sizes(Bytes raw) const;
};

/// Nested stages without a profile (T0): 1.54, 3.34 and 5.08 bits a value; measured as nested.
CodecModel tier0();
/// With a calibrated profile (T2): 0.45, 0.85, 1.47 and 2.30 bits a value. Measured as levels of their own: taken as
/// stages, each refinement is charged 10 % more than the difference to the one below it, an assumption.
CodecModel tier2();

}  // namespace sluice::scheduler::sim
