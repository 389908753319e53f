// Laws of the .slk file: what was added is found, damage of header or directory is a typed error.
#include "codec/container.h"

#include <gtest/gtest.h>

namespace sluice::codec {
namespace {

ContainerHeader header_of() {
  return {.shape = {.layers = Layers(30), .tokens = Tokens(600), .kv_heads = Heads(3), .head_dim = HeadDim(64)},
          .rope = {.style = kernels::RopeStyle::kPairs,
                   .dims = 64,
                   .base = 100000.0,
                   .local_base = 10000.0,
                   .local_period = 4},
          .chunk_tokens = Tokens(256),
          .group_layers = Layers(8),
          .model = ContentHash(77),
          .prefix = {1, 2}};
}

std::vector<std::byte> file_of() {
  ContainerWriter writer(header_of());
  for (std::uint32_t chunk : {2U, 0U, 1U}) {
    for (std::uint32_t group : {3U, 0U}) {
      const std::vector<std::byte> frame(100 + chunk, static_cast<std::byte>(chunk * 16 + group));
      EXPECT_TRUE(writer.add({ChunkIndex(chunk), LayerGroupIndex(group), Part::kBase}, frame).has_value());
    }
  }
  return writer.finish(kernels::ref_kernels());
}

TEST(Container, EveryFrameIsFoundByItsKeyAndNoOther) {
  const std::vector<std::byte> file = file_of();
  const Result<ContainerView> view = ContainerView::open(kernels::ref_kernels(), file);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->header(), header_of());
  EXPECT_EQ(view->frames(), 6U);
  for (std::uint32_t chunk = 0; chunk < 4; ++chunk) {
    const auto found = view->find({ChunkIndex(chunk), LayerGroupIndex(3), Part::kBase});
    ASSERT_EQ(found.has_value(), chunk < 3);
    if (found.has_value()) {
      EXPECT_EQ(found->size(), 100 + chunk);
    }
    EXPECT_FALSE(view->find({ChunkIndex(chunk), LayerGroupIndex(3), Part::kRefinement1}).has_value());
  }
  EXPECT_EQ(unit_shape(view->header(), ChunkIndex(2), LayerGroupIndex(3))->tokens, Tokens(88));
  EXPECT_EQ(unit_shape(view->header(), ChunkIndex(2), LayerGroupIndex(3))->layers, Layers(6));
}

TEST(Container, DamageAndTruncationAreTypedErrors) {
  const std::vector<std::byte> file = file_of();
  for (std::size_t at = 0; at < kContainerHeaderSize + 6 * kContainerEntrySize; ++at) {
    auto bad = file;
    bad[at] ^= std::byte{4};
    EXPECT_FALSE(ContainerView::open(kernels::ref_kernels(), bad).has_value()) << at;
  }
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(ContainerView::open(kernels::ref_kernels(), std::span(file).first(size)).has_value());
  }
}

TEST(Container, AKeyIsAddedOnce) {
  ContainerWriter writer(header_of());
  EXPECT_TRUE(writer.add({}, {}).has_value());
  EXPECT_EQ(writer.add({}, {}).error().code, ErrorCode::kAlreadyExists);
}

}  // namespace
}  // namespace sluice::codec
