// Golden bytes: what this version writes for a fixed input, byte for byte, and that such bytes of the past still
// decode. A golden file changes only with FORMAT.md's version. To write them anew: SLUICE_WRITE_GOLDEN=1
// build/.../test_unit_codec
#include <gtest/gtest.h>

#include <string>

#include "codec/container.h"
#include "codec/decoder.h"
#include "codec/encoder.h"
#include "tests/unit/codec/golden_files.h"
#include "tests/unit/codec/paged_unit.h"

namespace sluice::codec {
namespace {

constexpr kernels::KvShape kShape{
    .layers = Layers(1), .tokens = Tokens(48), .kv_heads = Heads(2), .head_dim = HeadDim(16)};
// No rotation: its angles come from the machine's libm, so bytes may differ where it is undone.
constexpr UnitContext kContext{.rope = {}, .first_position = TokenIndex(0), .request_tokens = Tokens(48)};

struct Made {
  std::string name;
  Part part;
  Bytestring frame;
};

std::vector<Made> make_frames(const PagedUnit& unit) {
  Encoder encoder = *Encoder::open(kernels::ref_kernels(), {});
  std::vector<Made> made;
  Bytestring out(Encoder::max_nested_size(kShape).count());
  const char* const names[] = {"base.frame", "refinement1.frame", "refinement2.frame"};
  const EncodedUnit encoded = *encoder.encode(unit.view(), kContext, out);
  for (std::size_t i = 0; i < kNestedStages; ++i) {
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(encoded.parts()[i].offset.count());
    const auto last = first + static_cast<std::ptrdiff_t>(encoded.parts()[i].size.count());
    made.push_back({names[i], encoded.parts()[i].part, Bytestring(first, last)});
  }
  const auto add = [&](const char* name, Part part, Bytes size) {
    made.push_back({name, part, Bytestring(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size.count()))});
  };
  add("raw.frame", Part::kRaw, *encoder.encode_raw(unit.view(), kContext, out));
  add("lossless.frame", Part::kLossless, *encoder.encode_lossless(unit.view(), kContext, out));
  add("int8.frame", Part::kInt8, *encoder.encode_int8(unit.view(), kContext, out));
  return made;
}

TEST(Golden, EveryPartHasTheBytesItAlwaysHad) {
  PagedUnit unit(kShape, {});
  fill_with_integers(unit);
  Decoder decoder = *Decoder::open(kernels::ref_kernels());
  ContainerWriter writer({.shape = kShape,
                          .rope = {.style = kernels::RopeStyle::kNone, .dims = 0, .base = 0},
                          .chunk_tokens = Tokens(48),
                          .group_layers = Layers(1),
                          .model = ContentHash(1),
                          .prefix = {2, 3}});
  std::vector<Bytestring> nested;
  for (const Made& made : make_frames(unit)) {
    const Bytestring kept = golden(made.name, made.frame);
    EXPECT_TRUE(kept == made.frame) << made.name;
    EXPECT_TRUE(writer.add({ChunkIndex(0), LayerGroupIndex(0), made.part}, kept).has_value());
    PagedUnit decoded(kShape, {});
    if (made.part <= Part::kRefinement2) nested.push_back(kept);
    std::vector<std::span<const std::byte>> frames{kept};
    if (made.part <= Part::kRefinement2) frames.assign(nested.begin(), nested.end());
    EXPECT_TRUE(decoder.decode(frames, kShape, kContext, decoded.writable()).has_value()) << made.name;
    if (made.part == Part::kRaw || made.part == Part::kLossless) {
      EXPECT_EQ(decoded.bytes(), unit.bytes());
    }
  }
  const Bytestring file = writer.finish(kernels::ref_kernels());
  EXPECT_TRUE(golden("six_parts.slk", file) == file);
}

}  // namespace
}  // namespace sluice::codec
