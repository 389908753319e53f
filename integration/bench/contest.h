// Runs all contestants of `sluice bench transport` in turns, so that what the machine does meanwhile meets them alike,
// and says medians and spreads.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "integration/bench/transport_pair.h"

namespace sluice::integration::bench {

/// The median of the rounds, and half the distance between their quartiles.
struct Figure {
  double median = 0.0;
  double spread = 0.0;
};
/// Threads: pure. Nothing measured = zeros.
Figure figure_of(std::vector<double> values);

/// One contestant and shape.
struct Row {
  std::string contestant;
  Shape shape = Shape::kChunks;
  Figure gigabytes_per_second;  ///< fragments and chunks
  Figure trip_us;               ///< round trips
  Figure cpu_seconds_per_gigabyte;
  bool is_right = true;  ///< every byte of every round
  std::string failure;   ///< why there are no figures
};

/// One who takes part.
struct Contestant {
  std::string name;
  std::vector<Shape> shapes;
  std::function<Result<Took>(Shape)> measure;
};

/// How often everybody has a turn.
struct ContestOptions {
  std::size_t rounds = 9;
  /// Transfers of one contestant and shape in one round.
  std::size_t transfers = 4;
};

/// One warm-up round, then the rounds: each contestant has its turn in each, in another order each time. A contestant
/// that fails has no figures, and the others go on.
std::vector<Row> run_contest(const std::vector<Contestant>& contestants, const ContestOptions& options);

}  // namespace sluice::integration::bench
