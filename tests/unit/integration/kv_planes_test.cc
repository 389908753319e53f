#include "integration/kv_planes.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/integration/planes_support.h"

namespace sluice::integration {
namespace {

constexpr kernels::KvShape kShape{Layers(3), Tokens(7), Heads(2), HeadDim(4), kernels::DType::kF16};

TEST(KvPlanes, RefusesShapesWithoutExtentOrBeyondMemory) {
  for (int field = 0; field < 4; ++field) {
    kernels::KvShape shape = kShape;
    if (field == 0) shape.layers = Layers(0);
    if (field == 1) shape.tokens = Tokens(0);
    if (field == 2) shape.kv_heads = Heads(0);
    if (field == 3) shape.head_dim = HeadDim(0);
    EXPECT_EQ(KvPlanes::allocate(shape).error().code, ErrorCode::kInvalidArgument) << field;
  }
  kernels::KvShape huge = kShape;
  huge.tokens = Tokens::max();
  EXPECT_EQ(KvPlanes::allocate(huge).error().code, ErrorCode::kInvalidArgument);
}

TEST(KvPlanes, StartAsZeros) {
  const KvPlanes planes = KvPlanes::allocate(kShape).value();
  for (const std::byte byte : planes.k_layer(LayerIndex(2))) EXPECT_EQ(byte, std::byte{0});
  for (const std::byte byte : planes.v_layer(LayerIndex(0))) EXPECT_EQ(byte, std::byte{0});
}

TEST(KvPlanes, EverySliceShowsExactlyItsRows) {
  const KvPlanes planes = random_planes(kShape, 1);
  constexpr std::size_t kHeadBytes = 8;
  constexpr std::size_t kRowBytes = 16;
  for (std::uint64_t first = 0; first < 7; ++first) {
    for (std::uint64_t count = 1; first + count <= 7; ++count) {
      const KvSlice slice = planes.slice({TokenIndex(first), Tokens(count)}, {LayerIndex(1), Layers(2)});
      const kernels::UnitView view = slice.view();
      ASSERT_EQ(view.shape.tokens, Tokens(count));
      ASSERT_EQ(view.k.size(), 2U);
      for (std::uint32_t layer = 0; layer < 2; ++layer) {
        const auto k = planes.k_layer(LayerIndex(1 + layer));
        const auto v = planes.v_layer(LayerIndex(1 + layer));
        const std::size_t offset = (first + count - 1) * kRowBytes + kHeadBytes;  // last token, head 1
        EXPECT_EQ(view.k[layer].row(count - 1, 1), k.data() + offset);
        EXPECT_EQ(view.v[layer].row(count - 1, 1), v.data() + offset);
      }
    }
  }
}

TEST(KvPlanes, ASliceStaysValidWhenItMoves) {
  KvPlanes planes = random_planes(kShape, 2);
  std::vector<MutableKvSlice> kept;
  kept.push_back(planes.mutable_slice({TokenIndex(2), Tokens(3)}, {LayerIndex(0), Layers(3)}));
  const kernels::MutableUnitView view = kept.front().view();
  std::memset(view.v[2].row(2, 0), 0x5a, 8);
  EXPECT_EQ(planes.v_layer(LayerIndex(2))[4 * 16], std::byte{0x5a});
  EXPECT_EQ(planes.v_layer(LayerIndex(2))[4 * 16 + 7], std::byte{0x5a});
}

}  // namespace
}  // namespace sluice::integration
