// A run of the simulated cluster: a plan drawn from the seed, faults at random moments, the laws of Book all the way,
// and quiet at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sluice::transport::simtest {

/// What came of one seed.
struct Outcome {
  std::optional<std::string> broken;  ///< the law that did not hold
  std::string plan;                   ///< what the seed drew, in words
  std::uint64_t requests = 0;
  std::uint64_t completed = 0;
  std::uint64_t delivered = 0;  ///< parts
  std::uint64_t sessions = 0;
  std::uint64_t refused = 0;  ///< parts that came made wrong by somebody who knows the protocol
};

/// The same outcome for the same seed, on every machine.  Threads: pure.
Outcome run_seed(std::uint64_t seed);
/// As run_seed(), but nothing goes wrong except that every second part is made wrong on its way, by bits, place,
/// generation, length, epoch or owner.
Outcome run_tampering(std::uint64_t seed);

}  // namespace sluice::transport::simtest
