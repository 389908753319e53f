#include "codec/calibration/matrix.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>

#include "base/assert.h"

namespace sluice::codec::calibration {

void add_products(const Eigen::Ref<const Samples>& left, const Eigen::Ref<const Samples>& right,
                  Eigen::Ref<Square> sum) {
  SLUICE_ASSERT(left.rows() == right.rows() && sum.rows() == left.cols() && sum.cols() == right.cols());
  Eigen::MatrixXf block(left.cols(), right.cols());
  for (Eigen::Index first = 0; first < left.rows(); first += kBlockTokens) {
    const Eigen::Index tokens = std::min(kBlockTokens, left.rows() - first);
    block.noalias() = left.middleRows(first, tokens).transpose() * right.middleRows(first, tokens);
    sum += block.cast<double>();
  }
}

Square principal_basis(const Square& covariance) {
  SLUICE_ASSERT(covariance.rows() == covariance.cols() && covariance.allFinite());
  const Eigen::SelfAdjointEigenSolver<Square> solver(covariance);
  SLUICE_ASSERT(solver.info() == Eigen::Success);
  Square basis = solver.eigenvectors().rowwise().reverse();
  for (Eigen::Index column = 0; column < basis.cols(); ++column) {
    Eigen::Index largest = 0;
    basis.col(column).cwiseAbs().maxCoeff(&largest);
    if (basis(largest, column) < 0) basis.col(column) *= -1.0;
  }
  return basis;
}

Square block_basis(const Square& covariance, Eigen::Index blocks) {
  SLUICE_ASSERT(blocks > 0 && covariance.rows() % blocks == 0);
  const Eigen::Index size = covariance.rows() / blocks;
  Square basis = Square::Zero(covariance.rows(), covariance.cols());
  for (Eigen::Index first = 0; first < covariance.rows(); first += size) {
    basis.block(first, first, size, size) = principal_basis(covariance.block(first, first, size, size));
  }
  return basis;
}

Square solve_ridge(const Square& covariance, const Square& cross, double ridge) {
  SLUICE_ASSERT(ridge > 0 && covariance.rows() == cross.rows());
  Square loaded = covariance;
  loaded.diagonal().array() += ridge;
  return loaded.ldlt().solve(cross);
}

}  // namespace sluice::codec::calibration
