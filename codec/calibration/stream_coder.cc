#include "codec/calibration/stream_coder.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "codec/calibration/token_classifier.h"

namespace sluice::codec::calibration {
namespace {

/// lambda of rate-distortion rounding, in squared steps per bit.
constexpr float kTradeOff = 0.05F;
/// A coefficient whose indices have a smaller mean magnitude is never coded.
constexpr double kSilentMean = 0.004;
/// A token class seen less often borrows the entropy class of its neighbour.
constexpr double kFewTokens = 48;
constexpr std::size_t kMostExact = 2048;
/// Two quarter octaves of the step per token class.
constexpr int kQuartersPerClass = 2;
constexpr int kTokenClasses = kCoarsestClass - kFinestClass + 1;
constexpr int kRounds = 3;

using Indices = Eigen::MatrixXi;

float token_scale(int token_class) { return std::exp2(0.5F * static_cast<float>(token_class)); }

/// Values in steps of their token.
Samples in_steps(const StreamInput& input) {
  Eigen::ArrayXf inverse(input.classes->size());
  for (Eigen::Index token = 0; token < inverse.size(); ++token) {
    inverse(token) = 1.0F / (token_scale((*input.classes)(token)) * input.step);
  }
  return (input.residual->array().colwise() * inverse).matrix();
}

std::int32_t rounded(float x) { return static_cast<std::int32_t>(std::floor(std::fabs(x) + 0.5F)) * (x < 0 ? -1 : 1); }

/// The codec's plain quantiser: zero below the threshold, else rounded half up in magnitude.
Indices plain_indices(const Samples& x, float scale) {
  return x.unaryExpr([scale](float value) {
    const float scaled = value * scale;
    return std::fabs(scaled) < kernels::kZeroThreshold ? 0 : rounded(scaled);
  });
}

/// The index of least error^2 + lambda bits among the nearest, the one below it in magnitude, and zero.
std::int32_t cheapest_index(const CodeBook& book, std::uint8_t coefficient_class, float x) {
  const std::int32_t nearest = rounded(x);
  if (coefficient_class == kSilentClass || nearest == 0) return 0;
  if (std::abs(nearest) > kCountedIndex) return nearest;
  const std::int32_t lower = nearest - (nearest > 0 ? 1 : -1);
  std::int32_t best = nearest;
  float least = 1e30F;
  for (const std::int32_t candidate : {nearest, lower, 0}) {
    const float error = x - static_cast<float>(candidate);
    const float cost = error * error + kTradeOff * book.bits(coefficient_class, candidate);
    if (cost < least) {
      least = cost;
      best = candidate;
    }
  }
  return best;
}

/// How often each index occurs: row = token class * width + coefficient.
struct Counts {
  Samples bins;
  std::array<double, kTokenClasses> tokens{};
  std::vector<bool> overflows;
};

Counts count(const Indices& indices, const Eigen::VectorXi& classes) {
  const Eigen::Index width = indices.cols();
  Counts counts;
  counts.bins = Samples::Zero(kTokenClasses * width, kCountedBins);
  counts.overflows.assign(static_cast<std::size_t>(kTokenClasses * width), false);
  for (Eigen::Index token = 0; token < classes.size(); ++token)
    ++counts.tokens[static_cast<std::size_t>(classes(token) - kFinestClass)];
  for (Eigen::Index channel = 0; channel < width; ++channel) {
    for (Eigen::Index token = 0; token < classes.size(); ++token) {
      const Eigen::Index row = (classes(token) - kFinestClass) * width + channel;
      const std::int32_t index = indices(token, channel);
      counts.bins(row, CodeBook::bin(index)) += 1;
      if (std::abs(index) > kCountedIndex) counts.overflows[static_cast<std::size_t>(row)] = true;
    }
  }
  return counts;
}

std::uint8_t exact_class(const CodeBook& book, const Indices& indices, const Eigen::VectorXi& classes,
                         Eigen::Index row) {
  const Eigen::Index channel = row % indices.cols();
  const int token_class = static_cast<int>(row / indices.cols()) + kFinestClass;
  std::vector<std::int32_t> found;
  for (Eigen::Index token = 0; token < classes.size() && found.size() < kMostExact; ++token) {
    if (classes(token) == token_class) found.push_back(indices(token, channel));
  }
  return book.cheapest_of(found);
}

/// Token classes that were hardly seen take the entropy class of the nearest that was seen, moved by the difference of
/// their steps.
void borrow(const std::array<double, kTokenClasses>& tokens, Eigen::Index width, std::vector<std::uint8_t>& chosen) {
  const auto fewest = std::min(kFewTokens, *std::ranges::max_element(tokens));
  for (int to = 0; to < kTokenClasses; ++to) {
    if (tokens[static_cast<std::size_t>(to)] >= fewest) continue;
    int from = to;
    for (int distance = 1; distance < kTokenClasses && from == to; ++distance) {
      for (const int candidate : {to + distance, to - distance}) {
        const bool is_known =
            candidate >= 0 && candidate < kTokenClasses && tokens[static_cast<std::size_t>(candidate)] >= fewest;
        if (is_known && from == to) from = candidate;
      }
    }
    for (Eigen::Index channel = 0; channel < width; ++channel) {
      chosen[static_cast<std::size_t>(to * width + channel)] =
          shifted_class(chosen[static_cast<std::size_t>(from * width + channel)], kQuartersPerClass * (from - to));
    }
  }
}

std::vector<std::uint8_t> choose(const CodeBook& book, const Indices& indices, const Eigen::VectorXi& classes,
                                 bool allow_silent) {
  const Counts counts = count(indices, classes);
  std::vector<std::uint8_t> chosen = book.cheapest(counts.bins);
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    if (counts.overflows[row]) chosen[row] = exact_class(book, indices, classes, static_cast<Eigen::Index>(row));
  }
  if (allow_silent) {
    Eigen::VectorXf magnitude(kCountedBins);
    for (std::int32_t index = -kCountedIndex; index <= kCountedIndex; ++index) {
      magnitude(CodeBook::bin(index)) = static_cast<float>(std::abs(index));
    }
    const Eigen::VectorXf sums = counts.bins * magnitude;
    for (std::size_t row = 0; row < chosen.size(); ++row) {
      const double tokens = counts.tokens[row / static_cast<std::size_t>(indices.cols())];
      if (sums(static_cast<Eigen::Index>(row)) <= kSilentMean * tokens) chosen[row] = kSilentClass;
    }
  }
  borrow(counts.tokens, indices.cols(), chosen);
  return chosen;
}

std::uint8_t class_at(const std::vector<std::uint8_t>& chosen, int token_class, Eigen::Index channel,
                      Eigen::Index width) {
  return chosen[static_cast<std::size_t>((token_class - kFinestClass) * width + channel)];
}

double bits_of(const CodeBook& book, const std::vector<std::uint8_t>& chosen, const Indices& indices,
               const Eigen::VectorXi& classes) {
  double bits = 0;
  for (Eigen::Index channel = 0; channel < indices.cols(); ++channel) {
    for (Eigen::Index token = 0; token < indices.rows(); ++token) {
      bits += book.bits(class_at(chosen, classes(token), channel, indices.cols()), indices(token, channel));
    }
  }
  return bits;
}

/// Decoded steps to values, and the damage.
double reconstruct(const StreamInput& input, const Samples& x, const Indices& indices, float unit, Samples& decoded) {
  double error = 0;
  decoded.resize(x.rows(), x.cols());
  for (Eigen::Index channel = 0; channel < x.cols(); ++channel) {
    for (Eigen::Index token = 0; token < x.rows(); ++token) {
      const std::int32_t index = indices(token, channel);
      const float steps = std::abs(index) == 1 ? static_cast<float>(index) * unit : static_cast<float>(index);
      const float missed = x(token, channel) - steps;
      error += static_cast<double>(missed) * missed;
      decoded(token, channel) = steps;
    }
  }
  for (Eigen::Index token = 0; token < x.rows(); ++token) {
    decoded.row(token) *= token_scale((*input.classes)(token)) * input.step;
  }
  return error * static_cast<double>(input.step) * input.step;
}

void code_single(const CodeBook& book, const StreamInput& input, const Samples& x, StreamOutput& out) {
  Indices indices = plain_indices(x, 1);
  std::vector<std::uint8_t>& chosen = out.classes[0];
  for (int round = 0; round < kRounds; ++round) {
    chosen = choose(book, indices, *input.classes, round + 1 == kRounds);
    for (Eigen::Index channel = 0; channel < x.cols(); ++channel) {
      for (Eigen::Index token = 0; token < x.rows(); ++token) {
        const std::uint8_t own = class_at(chosen, (*input.classes)(token), channel, x.cols());
        indices(token, channel) = cheapest_index(book, own, x(token, channel));
      }
    }
  }
  out.cost[0].bits = bits_of(book, chosen, indices, *input.classes);
  out.cost[0].squared_error = reconstruct(input, x, indices, kUnitMagnitude, out.decoded);
}

/// Classes and bits of one refinement, given both indices.
double code_refinement(const CodeBook& book, std::size_t stage, const Indices& coarse, const Indices& fine,
                       const StreamInput& input, std::vector<std::uint8_t>& chosen) {
  const Eigen::Index width = coarse.cols();
  Samples counts = Samples::Zero(kTokenClasses * width, kRefinementBins);
  std::array<double, kTokenClasses> tokens{};
  for (Eigen::Index token = 0; token < coarse.rows(); ++token) {
    const int own = (*input.classes)(token)-kFinestClass;
    ++tokens[static_cast<std::size_t>(own)];
    for (Eigen::Index channel = 0; channel < width; ++channel) {
      const std::int32_t base = coarse(token, channel);
      const std::int32_t difference = (fine(token, channel) - 3 * base) * (base < 0 ? -1 : 1);
      SLUICE_ASSERT(std::abs(difference) <= 2);
      counts(own * width + channel, std::min(std::abs(base), 2) * 5 + difference + 2) += 1;
    }
  }
  chosen = book.cheapest_refinement(stage, counts);
  borrow(tokens, width, chosen);
  double bits = 0;
  for (Eigen::Index row = 0; row < counts.rows(); ++row) {
    std::uint8_t& own = chosen[static_cast<std::size_t>(row)];
    if (own >= kClasses) own = static_cast<std::uint8_t>(kClasses - 1);
    for (Eigen::Index bin = 0; bin < kRefinementBins; ++bin)
      bits += counts(row, bin) * book.refinement_bits(stage, own, bin);
  }
  return bits;
}

void code_nested(const CodeBook& book, const StreamInput& input, const Samples& x, StreamOutput& out) {
  Indices coarse = plain_indices(x, 1);
  out.classes[0] = choose(book, coarse, *input.classes, false);
  out.cost[0].bits = bits_of(book, out.classes[0], coarse, *input.classes);
  out.cost[0].squared_error = reconstruct(input, x, coarse, 1, out.decoded);
  StreamInput finer = input;
  float scale = 1;
  for (std::size_t stage = 1; stage < input.stages; ++stage) {
    scale *= 3;
    finer.step = input.step / scale;
    const Samples scaled = x * scale;
    const Indices fine = plain_indices(scaled, 1);
    out.cost[stage].bits =
        out.cost[stage - 1].bits + code_refinement(book, stage, coarse, fine, input, out.classes[stage]);
    out.cost[stage].squared_error = reconstruct(finer, scaled, fine, 1, out.decoded);
    coarse = fine;
  }
}

}  // namespace

StreamOutput code_stream(const CodeBook& book, const StreamInput& input) {
  SLUICE_ASSERT(input.stages >= 1 && input.stages <= kNestedStages && input.step > 0);
  StreamOutput out;
  const Samples x = in_steps(input);
  if (input.stages == 1) {
    code_single(book, input, x, out);
  } else {
    code_nested(book, input, x, out);
  }
  return out;
}

}  // namespace sluice::codec::calibration
