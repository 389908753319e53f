// Golden bytes of units that are coded with a profile, in a folder per tier: the profile, the raw rows, a level of
// three stages and one of a single stage. The profile is read from its file, so only the encoder is on trial.
#include <string>

#include "codec/decoder.h"
#include "codec/encoder.h"
#include "codec/profile.h"
#include "tests/unit/codec/golden_files.h"
#include "tests/unit/codec/tiny_profile.h"

namespace sluice::codec {
namespace {

constexpr UnitContext kContext{
    .rope = {}, .first_position = TokenIndex(0), .request_tokens = Tokens(60), .first_layer = LayerIndex(0)};

const kernels::KernelTable& table() { return kernels::ref_kernels(); }

std::vector<Bytestring> encode(const Profile& profile, std::size_t level, const PagedUnit& unit) {
  Encoder encoder = *Encoder::open(table(), {.profile = &profile, .level = level});
  Bytestring out(Encoder::max_nested_size(unit.shape()).count());
  const EncodedUnit encoded = *encoder.encode(unit.view(), kContext, out);
  std::vector<Bytestring> frames;
  for (const EncodedPart& part : encoded.parts()) {
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(part.offset.count());
    frames.emplace_back(first, first + static_cast<std::ptrdiff_t>(part.size.count()));
  }
  return frames;
}

void check_folder(const std::string& folder, const TinyProfile& tiny) {
  const Bytestring file = golden(folder + "/profile.slp", *write_profile(table(), tiny_contents(tiny)));
  const Profile profile = *Profile::parse(table(), file);
  const kernels::KvShape shape{.layers = tiny.layers,
                               .tokens = Tokens(40),
                               .kv_heads = tiny.kv_heads,
                               .head_dim = tiny.head_dim,
                               .dtype = kernels::DType::kF16};
  PagedUnit unit(shape, {});
  fill_with_integers(unit);
  Encoder plain = *Encoder::open(table(), {});
  Bytestring raw(Encoder::max_encoded_size(shape, Part::kRaw).count());
  ASSERT_TRUE(plain.encode_raw(unit.view(), kContext, raw).has_value());
  EXPECT_TRUE(golden(folder + "/raw.frame", raw) == raw);
  const std::vector<Bytestring> nested = encode(profile, 0, unit);
  const std::vector<Bytestring> single = encode(profile, 1, unit);
  const char* const names[] = {"/base.frame", "/refinement1.frame", "/refinement2.frame"};
  std::vector<Bytestring> kept;
  Decoder decoder = *Decoder::open(table(), &profile);
  PagedUnit decoded(shape, {});
  for (std::size_t i = 0; i < nested.size(); ++i) {
    kept.push_back(golden(folder + names[i], nested[i]));
    EXPECT_TRUE(kept.back() == nested[i]) << names[i];
    const std::vector<std::span<const std::byte>> frames(kept.begin(), kept.end());
    EXPECT_TRUE(decoder.decode(frames, shape, kContext, decoded.writable()).has_value()) << names[i];
  }
  const Bytestring one = golden(folder + "/single.frame", single[0]);
  EXPECT_TRUE(one == single[0]);
  const std::vector<std::span<const std::byte>> frames{one};
  EXPECT_TRUE(decoder.decode(frames, shape, kContext, decoded.writable()).has_value());
}

TEST(ProfileGolden, HeadsHaveTheBytesTheyAlwaysHad) {
  check_folder("heads", {.tier = Tier::kHeads, .layers = Layers(1), .head_dim = HeadDim(8)});
}

TEST(ProfileGolden, LayersHaveTheBytesTheyAlwaysHad) {
  check_folder("layer", {.tier = Tier::kLayer, .layers = Layers(1), .head_dim = HeadDim(8)});
}

TEST(ProfileGolden, PredictionHasTheBytesItAlwaysHad) { check_folder("predicted", kGoldenPrediction); }

}  // namespace
}  // namespace sluice::codec
