#include "codec/calibration/prediction.h"

#include "base/assert.h"

namespace sluice::codec::calibration {
namespace {

constexpr double kNoiseRidge = 0.02;
constexpr double kVarianceRidge = 3e-5;

}  // namespace

void DecodedWindow::keep(std::size_t stream, Samples decoded) { decoded_[stream] = std::move(decoded); }

void DecodedWindow::forget_below(std::size_t first) {
  std::erase_if(decoded_, [first](const auto& entry) { return entry.first < first; });
  std::erase_if(products_, [first](const auto& entry) { return entry.first.first < first; });
}

const Samples& DecodedWindow::decoded(std::size_t stream) const {
  const auto found = decoded_.find(stream);
  SLUICE_ASSERT(found != decoded_.end());
  return found->second;
}

const Square& DecodedWindow::product(std::size_t left, std::size_t right) {
  SLUICE_ASSERT(left <= right);
  const auto [entry, is_new] = products_.try_emplace({left, right});
  if (is_new) {
    const Samples& from = decoded(left);
    const Samples& to = decoded(right);
    entry->second = Square::Zero(from.cols(), to.cols());
    add_products(from, to, entry->second);
  }
  return entry->second;
}

Square DecodedWindow::products(const References& references) {
  const Eigen::Index width = decoded(references.streams[0]).cols();
  const auto count = static_cast<Eigen::Index>(references.count);
  Square sums(count * width, count * width);
  for (Eigen::Index row = 0; row < count; ++row) {
    for (Eigen::Index column = 0; column < count; ++column) {
      const std::size_t left = references.streams[static_cast<std::size_t>(row)];
      const std::size_t right = references.streams[static_cast<std::size_t>(column)];
      auto block = sums.block(row * width, column * width, width, width);
      if (left <= right) {
        block = product(left, right);
      } else {
        block = product(right, left).transpose();
      }
    }
  }
  return sums;
}

Square DecodedWindow::cross_products(const References& references, const Samples& target) const {
  const Eigen::Index width = target.cols();
  Square sums = Square::Zero(static_cast<Eigen::Index>(references.count) * width, width);
  for (std::size_t i = 0; i < references.count; ++i) {
    add_products(decoded(references.streams[i]), target, sums.middleRows(static_cast<Eigen::Index>(i) * width, width));
  }
  return sums;
}

Samples DecodedWindow::apply(const References& references, const Eigen::MatrixXf& predictor) const {
  SLUICE_ASSERT(references.count > 0);
  const Samples& first = decoded(references.streams[0]);
  Samples sum = Samples::Zero(first.rows(), predictor.cols());
  for (std::size_t i = 0; i < references.count; ++i) {
    sum.noalias() += decoded(references.streams[i]) *
                     predictor.middleRows(static_cast<Eigen::Index>(i) * first.cols(), first.cols());
  }
  return sum;
}

Square fit_predictor(DecodedWindow& window, const References& references, const Samples& target, double step) {
  const auto tokens = static_cast<double>(target.rows());
  const Square covariance = window.products(references) / tokens;
  const double mean_variance = covariance.trace() / static_cast<double>(covariance.rows());
  const double ridge = kNoiseRidge * step * step + kVarianceRidge * mean_variance;
  return solve_ridge(covariance, window.cross_products(references, target) / tokens, ridge);
}

}  // namespace sluice::codec::calibration
