#include "integration/kv_container.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/unit/integration/planes_support.h"

namespace sluice::integration {
namespace {

constexpr kernels::KvShape kShape{Layers(5), Tokens(70), Heads(2), HeadDim(16), kernels::DType::kF32};
constexpr Bytes kRoom = Bytes(1U << 24U);

/// Smooth values that every level can hold.
KvPlanes wave_planes() {
  KvPlanes planes = KvPlanes::allocate(kShape).value();
  for (std::uint32_t layer = 0; layer < 5; ++layer) {
    for (auto rows : {planes.mutable_k_layer(LayerIndex(layer)), planes.mutable_v_layer(LayerIndex(layer))}) {
      for (std::size_t i = 0; i < rows.size() / sizeof(float); ++i) {
        const float value = std::sin(0.37F * static_cast<float>(i) + static_cast<float>(layer)) * 3.0F;
        std::memcpy(rows.data() + i * sizeof value, &value, sizeof value);
      }
    }
  }
  return planes;
}

KvContainerOptions options_for(Part level) {
  KvContainerOptions options;
  options.rope = {kernels::RopeStyle::kPairs, 16, 10000.0};
  options.first_position = TokenIndex(128);
  options.chunk_tokens = Tokens(32);
  options.group_layers = Layers(2);
  options.level = level;
  options.model = ContentHash(9);
  return options;
}

double mean_error(const KvPlanes& left, const KvPlanes& right) {
  double sum = 0;
  std::size_t count = 0;
  for (std::uint32_t layer = 0; layer < 5; ++layer) {
    const auto a = left.k_layer(LayerIndex(layer));
    const auto b = right.k_layer(LayerIndex(layer));
    for (std::size_t i = 0; i < a.size(); i += sizeof(float)) {
      float x = 0;
      float y = 0;
      std::memcpy(&x, a.data() + i, sizeof x);
      std::memcpy(&y, b.data() + i, sizeof y);
      sum += std::abs(static_cast<double>(x) - static_cast<double>(y));
      ++count;
    }
  }
  return sum / static_cast<double>(count);
}

TEST(KvContainer, EveryLevelComesBackAndBetterLevelsAreCloser) {
  const KvPlanes planes = wave_planes();
  double previous = 1e9;
  for (const Part level : {Part::kBase, Part::kRefinement1, Part::kRefinement2, Part::kRaw}) {
    const std::vector<std::byte> file = encode_rows(kernels::ref_kernels(), planes.rows(), options_for(level)).value();
    const auto view = codec::ContainerView::open(kernels::ref_kernels(), file).value();
    EXPECT_EQ(level_of(view).value(), level);
    const DecodedPlanes back = decode_planes(kernels::ref_kernels(), view, {.level = level, .most = kRoom}).value();
    EXPECT_EQ(back.first_position, TokenIndex(128));
    EXPECT_EQ(back.planes.shape(), kShape);
    const double error = mean_error(planes, back.planes);
    EXPECT_LT(error, previous);
    previous = error;
  }
  EXPECT_EQ(previous, 0.0);
}

TEST(KvContainer, LosslessIsExactForAnyBits) {
  const KvPlanes planes = random_planes(kShape, 5);
  const std::vector<std::byte> file =
      encode_rows(kernels::ref_kernels(), planes.rows(), options_for(Part::kLossless)).value();
  const auto view = codec::ContainerView::open(kernels::ref_kernels(), file).value();
  const DecodedPlanes back =
      decode_planes(kernels::ref_kernels(), view, {.level = Part::kLossless, .most = kRoom}).value();
  for (std::uint32_t layer = 0; layer < 5; ++layer) {
    EXPECT_TRUE(std::ranges::equal(back.planes.k_layer(LayerIndex(layer)), planes.k_layer(LayerIndex(layer))));
    EXPECT_TRUE(std::ranges::equal(back.planes.v_layer(LayerIndex(layer)), planes.v_layer(LayerIndex(layer))));
  }
}

TEST(KvContainer, AFileIsNotDecodedAtALevelThatItLacksOrBeyondTheBound) {
  const std::vector<std::byte> file =
      encode_rows(kernels::ref_kernels(), wave_planes().rows(), options_for(Part::kRefinement1)).value();
  const auto view = codec::ContainerView::open(kernels::ref_kernels(), file).value();
  const auto fault = [&](Part level, Bytes most) {
    const auto decoded = decode_planes(kernels::ref_kernels(), view, {.level = level, .most = most});
    return decoded ? ErrorCode::kOk : decoded.error().code;
  };
  EXPECT_EQ(fault(Part::kBase, kRoom), ErrorCode::kOk);
  EXPECT_EQ(fault(Part::kRefinement2, kRoom), ErrorCode::kNotFound);
  EXPECT_EQ(fault(Part::kRaw, kRoom), ErrorCode::kNotFound);
  EXPECT_EQ(fault(Part::kBase, kShape.raw_bytes() - Bytes(1)), ErrorCode::kNoMemory);
}

TEST(KvContainer, ADamagedFrameIsATypedError) {
  std::vector<std::byte> file =
      encode_rows(kernels::ref_kernels(), wave_planes().rows(), options_for(Part::kRaw)).value();
  for (std::size_t i = 1; i <= 200; ++i) file[file.size() - i] ^= std::byte{1};
  const auto view = codec::ContainerView::open(kernels::ref_kernels(), file);
  if (!view.has_value()) return;
  EXPECT_EQ(decode_planes(kernels::ref_kernels(), view.value(), {.level = Part::kRaw, .most = kRoom}).error().code,
            ErrorCode::kDigestMismatch);
}

TEST(KvContainer, CutsOfZeroAreRefused) {
  KvContainerOptions options = options_for(Part::kRaw);
  options.chunk_tokens = Tokens(0);
  EXPECT_EQ(encode_rows(kernels::ref_kernels(), wave_planes().rows(), options).error().code,
            ErrorCode::kInvalidArgument);
  options = options_for(Part::kRaw);
  options.group_layers = Layers(0);
  EXPECT_EQ(encode_rows(kernels::ref_kernels(), wave_planes().rows(), options).error().code,
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice::integration
