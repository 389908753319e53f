#include "codec/calibration/profile_matrices.h"

#include <algorithm>
#include <cmath>

#include "base/assert.h"

namespace sluice::codec::calibration {
namespace {

constexpr double kMostUnits = 32767;

std::int16_t units_of(double value) {
  return static_cast<std::int16_t>(
      std::clamp(std::nearbyint(value / static_cast<double>(kMatrixUnit)), -kMostUnits, kMostUnits));
}

std::size_t basis_size(const ProfileContents& contents) { return contents.width() * contents.block_width(); }

/// Where a stream's predictor starts: predictors differ in size.
std::size_t predictor_start(const ProfileContents& contents, std::size_t stream) {
  std::size_t start = 0;
  for (std::size_t before = 0; before < stream; ++before) start += references(contents, before).count;
  return start * contents.width() * contents.width();
}

}  // namespace

void store_basis(const Square& basis, std::size_t stream, ProfileContents& contents) {
  const std::size_t block = contents.block_width();
  std::size_t at = stream * basis_size(contents);
  for (std::size_t row = 0; row < contents.width(); ++row) {
    const std::size_t first = row / block * block;
    for (std::size_t column = first; column < first + block; ++column) {
      contents.bases[at++] = units_of(basis(static_cast<Eigen::Index>(row), static_cast<Eigen::Index>(column)));
    }
  }
}

Eigen::MatrixXf load_basis(const ProfileContents& contents, std::size_t stream) {
  const auto width = static_cast<Eigen::Index>(contents.width());
  const std::size_t block = contents.block_width();
  Eigen::MatrixXf basis = Eigen::MatrixXf::Zero(width, width);
  std::size_t at = stream * basis_size(contents);
  for (std::size_t row = 0; row < contents.width(); ++row) {
    const std::size_t first = row / block * block;
    for (std::size_t column = first; column < first + block; ++column) {
      basis(static_cast<Eigen::Index>(row), static_cast<Eigen::Index>(column)) =
          static_cast<float>(contents.bases[at++]) * kMatrixUnit;
    }
  }
  return basis;
}

void store_predictor(const Square& predictor, std::size_t stream, ProfileContents& contents) {
  const std::size_t width = contents.width();
  std::size_t at = predictor_start(contents, stream);
  SLUICE_ASSERT(at + static_cast<std::size_t>(predictor.size()) <= contents.predictors.size());
  for (std::size_t row = 0; row < width; ++row) {
    const auto own = predictor.col(static_cast<Eigen::Index>(row));
    const double largest = own.cwiseAbs().maxCoeff();
    const auto scale =
        static_cast<float>(largest > 0 ? largest / (kMostUnits * static_cast<double>(kMatrixUnit)) : 1.0);
    contents.predictor_scales[stream * width + row] = scale;
    for (Eigen::Index i = 0; i < own.size(); ++i)
      contents.predictors[at++] = units_of(own(i) / static_cast<double>(scale));
  }
}

Eigen::MatrixXf load_predictor(const ProfileContents& contents, std::size_t stream) {
  const std::size_t width = contents.width();
  const std::size_t rows = references(contents, stream).count * width;
  Eigen::MatrixXf predictor(static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(width));
  std::size_t at = predictor_start(contents, stream);
  for (std::size_t row = 0; row < width; ++row) {
    const float scale = contents.predictor_scales[stream * width + row] * kMatrixUnit;
    for (std::size_t i = 0; i < rows; ++i) {
      predictor(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(row)) =
          static_cast<float>(contents.predictors[at++]) * scale;
    }
  }
  return predictor;
}

}  // namespace sluice::codec::calibration
