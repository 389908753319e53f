#include "integration/divergence.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/assert.h"

namespace sluice::integration {
namespace {

double log_sum_exp(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

double kl_of_step(std::span<const float> reference, std::span<const float> other) {
  const double reference_norm = log_sum_exp(reference);
  const double other_norm = log_sum_exp(other);
  double sum = 0;
  for (std::size_t token = 0; token < reference.size(); ++token) {
    const double log_p = static_cast<double>(reference[token]) - reference_norm;
    const double log_q = static_cast<double>(other[token]) - other_norm;
    sum += std::exp(log_p) * (log_p - log_q);
  }
  return std::max(sum, 0.0);
}

auto best(std::span<const float> logits) { return std::max_element(logits.begin(), logits.end()) - logits.begin(); }

}  // namespace

Divergence divergence(std::span<const float> reference, std::span<const float> other, std::uint32_t vocabulary) {
  SLUICE_ASSERT(vocabulary > 0 && reference.size() == other.size() && reference.size() >= vocabulary);
  const std::size_t steps = reference.size() / vocabulary;
  std::vector<double> kl(steps);
  Divergence result;
  for (std::size_t step = 0; step < steps; ++step) {
    const auto one = reference.subspan(step * vocabulary, vocabulary);
    const auto two = other.subspan(step * vocabulary, vocabulary);
    kl[step] = kl_of_step(one, two);
    result.mean += kl[step] / static_cast<double>(steps);
    result.top1 += (best(one) == best(two) ? 1.0 : 0.0) / static_cast<double>(steps);
  }
  std::sort(kl.begin(), kl.end());
  result.p99 = kl[std::min(steps - 1, steps * 99 / 100)];
  result.max = kl.back();
  return result;
}

}  // namespace sluice::integration
