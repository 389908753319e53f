#include "codec/calibration/stream_coder.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/assert.h"
#include "codec/calibration/token_classifier.h"
#include "codec/plane_fit.h"
#include "kernels/table.h"

namespace sluice::codec::calibration {
namespace {

/// A coefficient whose indices have a smaller mean magnitude is never coded.
constexpr double kSilentMean = 0.004;
/// A token class seen less often borrows the entropy class of its neighbour.
constexpr Eigen::Index kFewTokens = 48;
constexpr std::size_t kMostExact = 2048;
/// Two quarter octaves of the step per token class.
constexpr int kQuartersPerClass = 2;
constexpr int kTokenClasses = kCoarsestClass - kFinestClass + 1;
constexpr int kRounds = 3;
/// What an index can hold, and with two refinements.
constexpr float kMostSteps = 32000;
constexpr float kMostNestedSteps = kMostSteps / 9;

using Indices = Eigen::Matrix<std::int16_t, Eigen::Dynamic, Eigen::Dynamic>;

float token_scale(int token_class) { return std::exp2(0.5F * static_cast<float>(token_class)); }

/// Tokens of a class stand together: in every matrix here rows are sorted so, and a coefficient's indices of one class
/// are contiguous.
struct Order {
  std::vector<Eigen::Index> token_of;  ///< row to token
  std::array<Eigen::Index, kTokenClasses + 1> first{};
  Eigen::Index count(std::size_t own) const { return first[own + 1] - first[own]; }
};

Order order_of(const Eigen::VectorXi& classes) {
  Order order;
  for (int own = 0; own < kTokenClasses; ++own) {
    for (Eigen::Index token = 0; token < classes.size(); ++token) {
      if (classes(token) == own + kFinestClass) order.token_of.push_back(token);
    }
    order.first[static_cast<std::size_t>(own) + 1] = static_cast<Eigen::Index>(order.token_of.size());
  }
  SLUICE_ASSERT(static_cast<Eigen::Index>(order.token_of.size()) == classes.size());
  return order;
}

/// Steps of a row's token.
float step_of(const StreamInput& input, Eigen::Index token) {
  return token_scale((*input.classes)(token)) * input.step;
}

/// Values in steps of their token, in order.
Samples in_steps(const StreamInput& input, const Order& order) {
  Samples x(input.residual->rows(), input.residual->cols());
  for (Eigen::Index row = 0; row < x.rows(); ++row) {
    const Eigen::Index token = order.token_of[static_cast<std::size_t>(row)];
    x.row(row) = input.residual->row(token) / step_of(input, token);
  }
  return x.cwiseMax(-kMostSteps).cwiseMin(kMostSteps);
}

/// The codec's nested quantiser, column by column.
std::array<Indices, kNestedStages> nested_indices(const Samples& x) {
  std::array<Indices, kNestedStages> indices;
  const auto size = static_cast<std::size_t>(x.size());
  for (Indices& each : indices) each.resize(x.rows(), x.cols());
  const auto all = [&](std::size_t stage) { return std::span(indices[stage].data(), size); };
  kernels::ref_kernels().quantize(std::span(x.data(), size), {0, kFinestScale}, {all(0), all(1), all(2)});
  return indices;
}

/// What rounding by rate starts from.
Indices plain_indices(const Samples& x) {
  return x.unaryExpr([](float value) {
    const float magnitude = std::fabs(value);
    return static_cast<std::int16_t>(
        std::copysign(magnitude < kernels::kZeroThreshold ? 0.0F : std::floor(magnitude + 0.5F), value));
  });
}

/// The encoder's rounding of a base without refinements, each coefficient and token class by its entropy class.
void round_by_rate(const RatePrices& prices, const std::vector<std::uint8_t>& chosen, const Samples& x,
                   const Order& order, Indices& indices) {
  for (std::size_t own = 0; own < kTokenClasses; ++own) {
    const auto count = static_cast<std::size_t>(order.count(own));
    for (Eigen::Index channel = 0; channel < x.cols(); ++channel) {
      const std::uint8_t entropy = chosen[own * static_cast<std::size_t>(x.cols()) + static_cast<std::size_t>(channel)];
      const std::span<std::int16_t> out(indices.data() + channel * indices.rows() + order.first[own], count);
      if (entropy == kSilentClass) {
        std::ranges::fill(out, std::int16_t{0});
      } else {
        const std::span<const float> column(x.data() + channel * x.rows() + order.first[own], count);
        kernels::ref_kernels().quantize_priced(column, {.scale = 1, .prices = prices.of(entropy)}, out);
      }
    }
  }
}

/// How often each index occurs: row = token class * width + coefficient.
struct Counts {
  Samples bins;
  std::vector<bool> overflows;
};

std::span<const std::int16_t> indices_of(const Indices& indices, const Order& order, std::size_t row) {
  const auto width = static_cast<std::size_t>(indices.cols());
  const std::size_t own = row / width;
  return {indices.data() + static_cast<Eigen::Index>(row % width) * indices.rows() + order.first[own],
          static_cast<std::size_t>(order.count(own))};
}

Counts count(const Indices& indices, const Order& order) {
  const auto rows = static_cast<std::size_t>(kTokenClasses * indices.cols());
  Counts counts{Samples::Zero(static_cast<Eigen::Index>(rows), kCountedBins), std::vector<bool>(rows, false)};
  for (std::size_t row = 0; row < rows; ++row) {
    for (const std::int16_t index : indices_of(indices, order, row)) {
      counts.bins(static_cast<Eigen::Index>(row), CodeBook::bin(index)) += 1;
      if (std::abs(index) > kCountedIndex) counts.overflows[row] = true;
    }
  }
  return counts;
}

/// Token classes that were hardly seen take the entropy class of the nearest that was seen, moved by the difference of
/// their steps.
void borrow(const Order& order, Eigen::Index width, std::vector<std::uint8_t>& chosen) {
  Eigen::Index most = 0;
  for (std::size_t own = 0; own < kTokenClasses; ++own) most = std::max(most, order.count(own));
  const Eigen::Index fewest = std::min(kFewTokens, most);
  const auto is_known = [&](int own) {
    return own >= 0 && own < kTokenClasses && order.count(static_cast<std::size_t>(own)) >= fewest;
  };
  for (int to = 0; to < kTokenClasses; ++to) {
    if (is_known(to)) continue;
    int distance = 1;
    while (!is_known(to + distance) && !is_known(to - distance)) ++distance;
    const int from = is_known(to + distance) ? to + distance : to - distance;
    for (Eigen::Index channel = 0; channel < width; ++channel) {
      chosen[static_cast<std::size_t>(to * width + channel)] =
          shifted_class(chosen[static_cast<std::size_t>(from * width + channel)], kQuartersPerClass * (from - to));
    }
  }
}

std::vector<std::uint8_t> choose(const CodeBook& book, const Indices& indices, const Order& order, bool allow_silent) {
  const Counts counts = count(indices, order);
  std::vector<std::uint8_t> chosen = book.cheapest(counts.bins);
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    const std::span<const std::int16_t> own = indices_of(indices, order, row);
    if (counts.overflows[row]) chosen[row] = book.cheapest_of(own.first(std::min(own.size(), kMostExact)));
    double sum = 0;
    for (const std::int16_t index : own) sum += std::abs(index);
    if (allow_silent && sum <= kSilentMean * static_cast<double>(own.size())) chosen[row] = kSilentClass;
  }
  borrow(order, indices.cols(), chosen);
  return chosen;
}

double bits_of(const CodeBook& book, const std::vector<std::uint8_t>& chosen, const Indices& indices,
               const Order& order) {
  double bits = 0;
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    for (const std::int16_t index : indices_of(indices, order, row)) bits += book.bits(chosen[row], index);
  }
  return bits;
}

/// Decoded values, back in the order of tokens, and the damage.
double reconstruct(const StreamInput& input, const Order& order, const Indices& indices, float unit, Samples& decoded) {
  double error = 0;
  decoded.resize(indices.rows(), indices.cols());
  for (Eigen::Index row = 0; row < indices.rows(); ++row) {
    const Eigen::Index token = order.token_of[static_cast<std::size_t>(row)];
    const Eigen::RowVectorXf steps = indices.row(row).unaryExpr([unit](std::int16_t index) {
      return std::abs(index) == 1 ? static_cast<float>(index) * unit : static_cast<float>(index);
    });
    decoded.row(token) = steps * step_of(input, token);
    const Eigen::RowVectorXf missed = input.residual->row(token) - decoded.row(token);
    error += static_cast<double>(missed.squaredNorm()) / std::exp2((*input.classes)(token));
  }
  return error;
}

void code_single(const CodeBook& book, const StreamInput& input, const Order& order, StreamOutput& out) {
  const Samples x = in_steps(input, order);
  Indices indices = plain_indices(x);
  for (int round = 0; round < kRounds; ++round) {
    out.classes[0] = choose(book, indices, order, round + 1 == kRounds);
    round_by_rate(book.prices(), out.classes[0], x, order, indices);
  }
  out.cost[0].bits = bits_of(book, out.classes[0], indices, order);
  out.cost[0].squared_error = reconstruct(input, order, indices, kUnitMagnitude, out.decoded);
}

/// Both indices of a refinement's coefficients.
struct Refinement {
  std::size_t stage = 1;
  const Indices* coarse = nullptr;
  const Indices* fine = nullptr;
};

/// Classes and bits of one refinement.
double code_refinement(const CodeBook& book, const Refinement& refinement, const Order& order,
                       std::vector<std::uint8_t>& chosen) {
  const Eigen::Index width = refinement.coarse->cols();
  Samples counts = Samples::Zero(kTokenClasses * width, kRefinementBins);
  for (Eigen::Index row = 0; row < counts.rows(); ++row) {
    const auto coarse = indices_of(*refinement.coarse, order, static_cast<std::size_t>(row));
    const auto fine = indices_of(*refinement.fine, order, static_cast<std::size_t>(row));
    for (std::size_t i = 0; i < coarse.size(); ++i) {
      counts(row, CodeBook::refinement_bin(coarse[i], fine[i])) += 1;
    }
  }
  chosen = book.cheapest_refinement(refinement.stage, counts);
  borrow(order, width, chosen);
  double bits = 0;
  for (Eigen::Index row = 0; row < counts.rows(); ++row) {
    std::uint8_t& own = chosen[static_cast<std::size_t>(row)];
    if (own >= kClasses) own = static_cast<std::uint8_t>(kClasses - 1);
    for (Eigen::Index bin = 0; bin < kRefinementBins; ++bin) {
      bits += counts(row, bin) * book.refinement_bits(refinement.stage, own, bin);
    }
  }
  return bits;
}

void code_nested(const CodeBook& book, const StreamInput& input, const Order& order, StreamOutput& out) {
  const Samples x = in_steps(input, order).cwiseMax(-kMostNestedSteps).cwiseMin(kMostNestedSteps);
  const std::array<Indices, kNestedStages> indices = nested_indices(x);
  out.classes[0] = choose(book, indices[0], order, false);
  out.cost[0].bits = bits_of(book, out.classes[0], indices[0], order);
  out.cost[0].squared_error = reconstruct(input, order, indices[0], 1, out.decoded);
  StreamInput finer = input;
  Samples refined;
  float scale = 1;
  for (std::size_t stage = 1; stage < input.stages; ++stage) {
    scale *= 3;
    finer.step = input.step / scale;
    const Refinement refinement{stage, &indices[stage - 1], &indices[stage]};
    out.cost[stage].bits = out.cost[stage - 1].bits + code_refinement(book, refinement, order, out.classes[stage]);
    out.cost[stage].squared_error = reconstruct(finer, order, indices[stage], 1, refined);
  }
}

}  // namespace

StreamOutput code_stream(const CodeBook& book, const StreamInput& input) {
  SLUICE_ASSERT(input.stages >= 1 && input.stages <= kNestedStages && input.step > 0);
  StreamOutput out;
  const Order order = order_of(*input.classes);
  if (input.stages == 1) {
    code_single(book, input, order, out);
  } else {
    code_nested(book, input, order, out);
  }
  return out;
}

}  // namespace sluice::codec::calibration
