// How far one set of logits is from another: what a codec's damage is judged by.
#pragma once

#include <cstdint>
#include <span>

namespace sluice::integration {

/// KL(reference || other) in nats over the steps of a teacher-forced continuation, and how often the best token agrees.
struct Divergence {
  double mean = 0;
  double p99 = 0;
  double max = 0;
  double top1 = 0;
};

/// Shape: both [steps][vocabulary], equal sizes, at least one step.  Threads: pure.
/// Source: Kullback and Leibler 1951; p99 is the nearest-rank percentile.
Divergence divergence(std::span<const float> reference, std::span<const float> other, std::uint32_t vocabulary);

}  // namespace sluice::integration
