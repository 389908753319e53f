#include "codec/expected_costs.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "codec/rate_prices.h"
#include "kernels/quantize.h"

namespace sluice::codec {
namespace {

constexpr std::array<double, kShapes> kExponents{0.6, 0.9, 1.3, 2.0};
/// Indices beyond are taken for this one.
constexpr std::int32_t kLargestIndex = 255;
/// What is left of a distribution beyond this share counts for nothing.
constexpr double kNearlyAll = 1 - 1e-7;

// P(|x| < t) of a generalised Gaussian of variance 1, on a grid that is fine where t is small.
class Distribution {
 public:
  explicit Distribution(double exponent) : below_(kPoints + 1) {
    const double alpha = std::sqrt(std::tgamma(1 / exponent) / std::tgamma(3 / exponent));
    double sum = 0;
    for (std::size_t i = 0; i < kPoints; ++i) {
      below_[i] = sum;
      const double middle = (place(i) + place(i + 1)) / 2;
      sum += std::exp(-std::pow(middle / alpha, exponent)) * (place(i + 1) - place(i));
    }
    below_[kPoints] = sum;
    for (double& part : below_) part /= sum;
  }

  double below(double t) const {
    if (t >= kReach) return 1;
    const double at = std::sqrt(t / kReach) * static_cast<double>(kPoints);
    const auto i = static_cast<std::size_t>(at);
    const double share = (t - place(i)) / (place(i + 1) - place(i));
    return below_[i] + share * (below_[i + 1] - below_[i]);
  }

 private:
  static constexpr std::size_t kPoints = 4096;
  static constexpr double kReach = 40;
  static double place(std::size_t i) {
    const double share = static_cast<double>(i) / static_cast<double>(kPoints);
    return kReach * share * share;
  }
  std::vector<double> below_;
};

double sigma_of(int spread) { return std::exp2(-4.5 + spread / 4.0); }

// From which |x|, in steps, index n of a base is chosen.
double threshold(std::int32_t n) { return n == 1 ? (kernels::kLargestBaseZero + 0.5) / 9 : n - 0.5; }

// Of two neighbours rate-distortion rounding takes the cheaper one a little beyond the middle.
double threshold(const ClassCosts& costs, std::size_t universal_class, std::int32_t n) {
  if (n >= kernels::kPricedIndices) return n - 0.5;
  const double more = costs.index_bits(universal_class, n) - costs.index_bits(universal_class, n - 1);
  return std::clamp(n - 0.5 + RatePrices::kTradeOff / 2 * more, n - 0.5, static_cast<double>(n));
}

/// A coefficient that is coded in the base.
struct Coefficient {
  std::size_t universal_class;
  double sigma;  ///< in steps
  BaseRounding rounding;
};

float expected_base(const ClassCosts& costs, const Distribution& values, const Coefficient& coefficient) {
  const auto [universal_class, sigma, rounding] = coefficient;
  double bits = 0;
  double below = 0;
  for (std::int32_t n = 0; n <= kLargestIndex && below < kNearlyAll; ++n) {
    const double end =
        rounding == BaseRounding::kThreshold ? threshold(n + 1) : threshold(costs, universal_class, n + 1);
    const double next = n == kLargestIndex ? 1 : values.below(end / sigma);
    bits += (next - below) * costs.index_bits(universal_class, n);
    below = next;
  }
  return static_cast<float>(bits);
}

/// Probability of each context and difference.
using Shares = std::array<std::array<double, kernels::kRefinementSymbols>, kernels::kRefinementContexts>;

// Of refinements 1 and 2; sigma in base steps.
std::array<Shares, 2> refinement_shares(const Distribution& values, double sigma) {
  std::array<Shares, 2> shares{};
  const auto put = [&](Shares& of, std::int32_t coarse, std::int32_t fine, double share) {
    auto& row = of[static_cast<std::size_t>(std::min<std::int32_t>(coarse, kernels::kRefinementContexts - 1))];
    const std::int32_t difference = fine - 3 * coarse;
    // At 0 either sign of the difference occurs alike.
    const double own = coarse == 0 ? share / 2 : share;
    row[static_cast<std::size_t>(1 + difference)] += own;
    if (coarse == 0) row[static_cast<std::size_t>(1 - difference)] += own;
  };
  double from = 0;
  for (std::int32_t last = 0; from < kNearlyAll; ++last) {
    const double end = last == 0   ? double{kernels::kZeroThreshold}
                       : last == 1 ? double{kernels::kOneThreshold}
                                   : last + 0.5;
    const double to = values.below(end / 9 / sigma);
    const std::int32_t middle = kernels::coarser_magnitude(last, 3);
    put(shares[0], kernels::coarser_magnitude(last, 9), middle, to - from);
    put(shares[1], middle, last, to - from);
    from = to;
  }
  return shares;
}

float expected_refinement(const ClassCosts& costs, std::size_t stage, std::size_t universal_class,
                          const Shares& shares) {
  double bits = 0;
  for (std::size_t context = 0; context < shares.size(); ++context) {
    for (std::int32_t difference = -1; difference <= 2; ++difference) {
      bits += shares[context][static_cast<std::size_t>(difference + 1)] *
              costs.refinement_bits(stage, universal_class, context, difference);
    }
  }
  return static_cast<float>(bits);
}

}  // namespace

ExpectedCosts::ExpectedCosts() {
  const ClassCosts costs;
  for (auto& curves : base_) curves.resize(kClasses);
  for (auto& curves : refinement_) curves.resize(kClasses);
  for (std::size_t shape = 0; shape < kShapes; ++shape) {
    const Distribution values(kExponents[shape]);
    for (int spread = -kBelow; spread < static_cast<int>(kSpreads) + kAbove; ++spread) {
      const double sigma = sigma_of(spread);
      const std::array<Shares, 2> shares = refinement_shares(values, sigma);
      // Every class of the shape that this spread is not too far from.
      const int last = std::min(spread + kBelow, static_cast<int>(kSpreads) - 1);
      for (int own = std::max(spread - kAbove, 0); own <= last; ++own) {
        const std::size_t name = shape * kSpreads + static_cast<std::size_t>(own);
        const auto place = static_cast<std::size_t>(spread - own + kBelow);
        for (const BaseRounding rounding : {BaseRounding::kThreshold, BaseRounding::kRateDistortion}) {
          base_[static_cast<std::size_t>(rounding)][name][place] =
              expected_base(costs, values, {name, sigma, rounding});
        }
        for (std::size_t i = 0; i < shares.size(); ++i) {
          refinement_[i][name][place] = expected_refinement(costs, i + 1, name, shares[i]);
        }
      }
    }
  }
}

float ExpectedCosts::at(const Curve& curve, float quarters) {
  const float place = std::clamp(quarters + kBelow, 0.0F, static_cast<float>(kBelow + kAbove));
  const auto i = std::min(static_cast<std::size_t>(place), curve.size() - 2);
  const float share = place - static_cast<float>(i);
  return curve[i] + share * (curve[i + 1] - curve[i]);
}

float ExpectedCosts::base_bits(std::size_t coefficient_class, float log2_sigma, BaseRounding rounding) const {
  if (coefficient_class == kSilentClass) return 0;
  const ClassCode code = class_code(coefficient_class);
  const float low = code.low_bits;
  const float quarters = 4 * (log2_sigma - low + 4.5F) - static_cast<float>(code.table % kSpreads);
  return low + at(base_[static_cast<std::size_t>(rounding)][code.table], quarters);
}

float ExpectedCosts::refinement_bits(std::size_t stage, std::size_t coefficient_class, float log2_sigma) const {
  SLUICE_ASSERT(stage >= 1 && stage <= refinement_.size());
  if (coefficient_class == kSilentClass) return 0;
  const float quarters = 4 * (log2_sigma + 4.5F) - static_cast<float>(coefficient_class % kSpreads);
  return at(refinement_[stage - 1][coefficient_class], quarters);
}

}  // namespace sluice::codec
