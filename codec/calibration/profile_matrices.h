// Matrices in and out of a profile's integers: what calibration goes on with is what the codec will read.
#pragma once

#include "codec/calibration/matrix.h"
#include "codec/profile.h"

namespace sluice::codec::calibration {

/// basis: [width][width], rows are vectors; only the diagonal blocks of the profile's tier are kept.
void store_basis(const Square& basis, std::size_t stream, ProfileContents& contents);
/// [width][width], rows are vectors.
Eigen::MatrixXf load_basis(const ProfileContents& contents, std::size_t stream);

/// predictor: [references * width][width], from decoded coefficients to coefficients.
void store_predictor(const Square& predictor, std::size_t stream, ProfileContents& contents);
Eigen::MatrixXf load_predictor(const ProfileContents& contents, std::size_t stream);

}  // namespace sluice::codec::calibration
