// The matrices of calibration: Eigen's one door. Columns are channels, rows are tokens, and a column is contiguous, so
// that what the codec's kernels call columns is a matrix here without a copy. Invariant: sums over many tokens are
// carried in fp64; blocks of at most kBlockTokens are multiplied in fp32, which is exact enough for 16-bit values.
#pragma once

#include <Eigen/Core>

namespace sluice::codec::calibration {

/// [tokens][channels], a channel contiguous.
using Samples = Eigen::MatrixXf;
/// Sums, covariances, bases.
using Square = Eigen::MatrixXd;
/// One number per channel.
using PerChannel = Eigen::VectorXd;

inline constexpr Eigen::Index kBlockTokens = 512;

/// sum += left' right, over all tokens.
/// Shape:   left [tokens][a], right [tokens][b], sum [a][b].  Threads: pure.
void add_products(const Eigen::Ref<const Samples>& left, const Eigen::Ref<const Samples>& right,
                  Eigen::Ref<Square> sum);

/// Orthonormal columns by falling variance: the Karhunen-Loeve basis of a covariance. The sign of a column is that
/// which makes its largest component positive, so that equal sums give equal bases.
/// Precondition: symmetric and finite; singular is fine.  Threads: pure.
Square principal_basis(const Square& covariance);

/// The basis of every one of `blocks` equal diagonal blocks, zero elsewhere.
Square block_basis(const Square& covariance, Eigen::Index blocks);

/// (covariance + ridge I)^-1 cross.
/// Precondition: covariance positive semidefinite, ridge > 0.  Threads: pure.
Square solve_ridge(const Square& covariance, const Square& cross, double ridge);

}  // namespace sluice::codec::calibration
