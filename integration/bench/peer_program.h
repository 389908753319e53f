// Another project's transport as a contestant: a program that moves the same windows between two processes of its own
// and answers "fragments", "chunks" or "round_trip" by one line. It says what it measured; it is judged by its own
// comparing of every byte.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "integration/bench/transport_pair.h"

namespace sluice::integration::bench {

/// Threads: one; measure() blocks.
class PeerProgram {
 public:
  /// Starts `command` with the port to connect to as last argument, and waits for its line "ready NAME VERSION".
  /// Errors: kIo, kDeadlineMissed (not ready in time), kUnsupported (it said why it cannot, in its log).
  static Result<std::unique_ptr<PeerProgram>> start(std::vector<std::string> command, const std::string& log);
  virtual ~PeerProgram() = default;
  /// What it calls itself, with its version.
  virtual const std::string& name() const = 0;
  /// Errors: kPeerLost (it died), kUnsupported (not this shape), kDeadlineMissed.
  virtual Result<Took> measure(Shape shape) = 0;
};

}  // namespace sluice::integration::bench
