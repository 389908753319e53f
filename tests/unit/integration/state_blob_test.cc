#include "integration/engines/llama_cpp/state_blob.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/unit/integration/planes_support.h"

namespace sluice::integration::llama_cpp {
namespace {

constexpr kernels::KvShape kShape{Layers(2), Tokens(5), Heads(3), HeadDim(4), kernels::DType::kF16};
constexpr std::size_t kRow = 24;

std::vector<std::byte> blob_of(const KvPlanes& planes, Tokens cells) {
  kernels::KvShape shape = planes.shape();
  shape.tokens = cells;
  std::vector<std::byte> blob(state_blob_size(shape).count());
  EXPECT_TRUE(write_state_blob(planes, cells, blob).has_value());
  return blob;
}

template <typename Field>
std::vector<std::byte> with(std::vector<std::byte> blob, std::size_t offset, Field value) {
  std::memcpy(blob.data() + offset, &value, sizeof value);
  return blob;
}

ErrorCode fault_of(std::span<const std::byte> blob, const kernels::KvShape& expected = kShape) {
  const Result<StateBlobView> view = StateBlobView::parse(blob, expected);
  return view ? ErrorCode::kOk : view.error().code;
}

TEST(StateBlob, WhatIsWrittenIsParsedBack) {
  const KvPlanes planes = random_planes(kShape, 3);
  for (std::uint64_t cells = 1; cells <= 5; ++cells) {
    const std::vector<std::byte> blob = blob_of(planes, Tokens(cells));
    kernels::KvShape shape = kShape;
    shape.tokens = Tokens(cells);
    const StateBlobView view = StateBlobView::parse(blob, shape).value();
    for (const LayerIndex layer : {LayerIndex(0), LayerIndex(1)}) {
      EXPECT_TRUE(std::ranges::equal(view.k_layer(layer), planes.k_layer(layer).first(cells * kRow)));
      EXPECT_TRUE(std::ranges::equal(view.v_layer(layer), planes.v_layer(layer).first(cells * kRow)));
    }
  }
}

TEST(StateBlob, RowsStandAtTheOffsetsOfTheFormat) {
  const KvPlanes planes = random_planes(kShape, 4);
  const std::vector<std::byte> blob = blob_of(planes, Tokens(5));
  EXPECT_EQ(blob.size(), 24 + 12 * 5 + 2 * 2 * 12 + 2 * 2 * 5 * kRow);
  const std::size_t layer1_row2 = 16 + 12 * 5 + 8 + 1 * (12 + kRow * 5) + 12 + kRow * 2;
  EXPECT_TRUE(std::ranges::equal(std::span(blob).subspan(layer1_row2, kRow),
                                 planes.k_layer(LayerIndex(1)).subspan(2 * kRow, kRow)));
}

TEST(StateBlob, RefusesEveryCutAndEveryExtraByte) {
  const std::vector<std::byte> blob = blob_of(random_planes(kShape, 5), Tokens(5));
  for (std::size_t size = 0; size < blob.size(); ++size) {
    EXPECT_EQ(fault_of(std::span(blob).first(size)), ErrorCode::kTruncated) << size;
  }
  std::vector<std::byte> longer = blob;
  longer.push_back(std::byte{0});
  EXPECT_EQ(fault_of(longer), ErrorCode::kTrailingBytes);
}

TEST(StateBlob, RefusesWhatLlamaTakesSilently) {
  const std::vector<std::byte> blob = blob_of(random_planes(kShape, 6), Tokens(5));
  const std::size_t cell2 = 16 + 2 * 12;
  EXPECT_EQ(fault_of(with(blob, cell2, std::int32_t{-1})), ErrorCode::kBadField);
  EXPECT_EQ(fault_of(with(blob, cell2, std::int32_t{0x7fffffff})), ErrorCode::kBadField);
  EXPECT_EQ(fault_of(with(blob, cell2, std::int32_t{1})), ErrorCode::kBadField) << "position given twice";
  EXPECT_EQ(fault_of(with(blob, cell2 + 4, std::uint32_t{2})), ErrorCode::kBadField);
  EXPECT_EQ(fault_of(with(blob, cell2 + 8, std::int32_t{7})), ErrorCode::kBadField);
  EXPECT_EQ(fault_of(with(blob, 4, std::int32_t{-1})), ErrorCode::kBadField);
  EXPECT_EQ(fault_of(with(blob, 12, std::uint32_t{0})), ErrorCode::kBadField) << "no cells";
  kernels::KvShape none = kShape;
  none.tokens = Tokens(0);
  EXPECT_EQ(fault_of(blob, none), ErrorCode::kBadField);
}

TEST(StateBlob, RefusesAnotherFormOrModel) {
  const std::vector<std::byte> blob = blob_of(random_planes(kShape, 7), Tokens(5));
  const std::size_t tail = 16 + 5 * 12;
  EXPECT_EQ(fault_of(with(blob, 0, std::uint32_t{0x67677371})), ErrorCode::kBadMagic);
  EXPECT_EQ(fault_of(with(blob, 8, std::uint32_t{2})), ErrorCode::kBadField);
  EXPECT_EQ(fault_of(with(blob, tail, std::uint32_t{1})), ErrorCode::kBadField) << "transposed v";
  EXPECT_EQ(fault_of(with(blob, tail + 4, std::uint32_t{3})), ErrorCode::kIncompatibleLayout);
  EXPECT_EQ(fault_of(with(blob, tail + 8, std::int32_t{30})), ErrorCode::kIncompatibleLayout) << "bf16";
  EXPECT_EQ(fault_of(with(blob, tail + 12, ~std::uint64_t{0})), ErrorCode::kIncompatibleLayout);
  kernels::KvShape fp8 = kShape;
  fp8.dtype = kernels::DType::kE4m3;
  EXPECT_EQ(fault_of(blob, fp8), ErrorCode::kUnsupported);
}

TEST(StateBlob, EveryFlippedBitBeforeTheRowsIsFound) {
  const std::vector<std::byte> blob = blob_of(random_planes(kShape, 8), Tokens(5));
  const std::size_t fields_end = 16 + 5 * 12 + 8 + 12;  // up to the first row
  for (std::size_t bit = 0; bit < fields_end * 8; ++bit) {
    std::vector<std::byte> flipped = blob;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_NE(fault_of(flipped), ErrorCode::kOk) << "bit " << bit;
  }
}

TEST(StateBlob, TheWriterLeavesAWrongBufferUntouched) {
  const KvPlanes planes = random_planes(kShape, 9);
  std::vector<std::byte> small(state_blob_size(kShape).count() - 1, std::byte{0xee});
  for (const Tokens cells : {Tokens(5), Tokens(6), Tokens(0)}) {
    EXPECT_EQ(write_state_blob(planes, cells, small).error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(std::ranges::all_of(small, [](std::byte byte) { return byte == std::byte{0xee}; }));
}

}  // namespace
}  // namespace sluice::integration::llama_cpp
