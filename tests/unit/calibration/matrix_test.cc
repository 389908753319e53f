#include <gtest/gtest.h>

#include <random>

#include "codec/calibration/matrix.h"

namespace sluice::codec::calibration {
namespace {

Samples random_samples(Eigen::Index tokens, Eigen::Index width, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Samples samples(tokens, width);
  for (float& x : samples.reshaped()) x = normal(random);
  return samples;
}

TEST(Matrix, ProductsOfBlocksEqualTheWhole) {
  for (const Eigen::Index tokens : {1L, 7L, 511L, 512L, 513L, 1500L}) {
    const Samples left = random_samples(tokens, 5, 1);
    const Samples right = random_samples(tokens, 3, 2);
    Square sum = Square::Zero(5, 3);
    add_products(left, right, sum);
    const Square whole = left.cast<double>().transpose() * right.cast<double>();
    EXPECT_LT((sum - whole).norm(), 1e-4 * (1 + whole.norm())) << tokens;
  }
}

TEST(Matrix, BasisIsOrthonormalAndDiagonalisesWhateverTheRank) {
  for (const Eigen::Index tokens : {0L, 1L, 3L, 40L}) {
    const Samples samples = random_samples(tokens, 12, 3);
    Square covariance = Square::Zero(12, 12);
    add_products(samples, samples, covariance);
    const Square basis = principal_basis(covariance);
    EXPECT_LT((basis.transpose() * basis - Square::Identity(12, 12)).norm(), 1e-9);
    const Square turned = basis.transpose() * covariance * basis;
    EXPECT_LT((turned - Square(turned.diagonal().asDiagonal())).norm(), 1e-6 * (1 + covariance.norm()));
    for (Eigen::Index i = 1; i < 12; ++i) EXPECT_GE(turned(i - 1, i - 1), turned(i, i) - 1e-9);
  }
}

TEST(Matrix, BlocksDoNotMix) {
  const Samples samples = random_samples(30, 12, 4);
  Square covariance = Square::Zero(12, 12);
  add_products(samples, samples, covariance);
  const Square basis = block_basis(covariance, 3);
  for (Eigen::Index row = 0; row < 12; ++row) {
    for (Eigen::Index column = 0; column < 12; ++column) {
      if (row / 4 != column / 4) {
        EXPECT_EQ(basis(row, column), 0);
      }
    }
  }
  EXPECT_LT((basis.transpose() * basis - Square::Identity(12, 12)).norm(), 1e-9);
}

TEST(Matrix, RidgeSolvesTheLoadedSystemAlsoWhenItIsSingular) {
  const Samples samples = random_samples(3, 8, 5);
  Square covariance = Square::Zero(8, 8);
  add_products(samples, samples, covariance);
  const Square cross = Square::Ones(8, 2);
  const Square solution = solve_ridge(covariance, cross, 0.01);
  EXPECT_LT((covariance * solution + 0.01 * solution - cross).norm(), 1e-8);
}

}  // namespace
}  // namespace sluice::codec::calibration
