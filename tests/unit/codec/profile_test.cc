// Laws of the profile file: what was written comes back, and anything else is refused with a typed error.
#include "codec/profile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "codec/byte_order.h"
#include "tests/unit/codec/tiny_profile.h"

namespace sluice::codec {
namespace {

constexpr std::size_t kDigestAt = 72;

const kernels::KernelTable& table() { return kernels::ref_kernels(); }

std::vector<std::byte> written(const ProfileContents& contents) { return *write_profile(table(), contents); }

/// Puts the digest right again, so that what lies behind it is reached.
void reseal(std::span<std::byte> file) {
  store(file, kDigestAt, std::uint64_t{0});
  const std::uint64_t seed = table().digest(file.first(kProfileHeaderSize), 0);
  store(file, kDigestAt, table().digest(file.subspan(kProfileHeaderSize), seed));
}

TEST(Profile, ComesBackAsItWasWritten) {
  constexpr kernels::RopeSpec kScaled{
      .style = kernels::RopeStyle::kHalves,
      .dims = 16,
      .base = 500000.0,
      .scaling = {.kind = kernels::RopeScalingKind::kLlama3, .factor = 8, .low = 1, .high = 4, .original_tokens = 8192},
      .local_base = 10000.0,
      .local_period = 6};
  for (const TinyProfile& tiny :
       {TinyProfile{.tier = Tier::kHeads}, TinyProfile{.tier = Tier::kLayer, .rope = kScaled},
        TinyProfile{.tier = Tier::kPredicted, .layers = Layers(5), .layers_back = 2, .intra_every = 4}}) {
    ProfileContents contents = tiny_contents(tiny);
    contents.model = ContentHash(77);
    contents.levels[0].quality[2] = {.bits_per_value = 1.5F, .kl_mean = 0.01F, .kl_p99 = 0.1F};
    const std::vector<std::byte> file = written(contents);
    const Result<Profile> profile = Profile::parse(table(), file);
    ASSERT_TRUE(profile.has_value()) << profile.error().where;
    EXPECT_EQ(profile->contents(), contents);
    EXPECT_EQ(profile->file_size().count(), file.size());
    EXPECT_EQ(*profile->find_level("fine"), 1U);
    EXPECT_EQ(profile->find_level("none").error().code, ErrorCode::kNotFound);
  }
}

TEST(Profile, IdIsOfTheWholeContent) {
  std::set<std::uint64_t> ids;
  for (const std::uint32_t seed : {1U, 2U, 3U}) {
    ids.insert(Profile::parse(table(), written(tiny_contents({.seed = seed})))->id().value());
  }
  ProfileContents contents = tiny_contents({});
  contents.levels[1].quality[0].kl_mean = 0.5F;
  ids.insert(Profile::parse(table(), written(contents))->id().value());
  EXPECT_EQ(ids.size(), 4U);
}

TEST(Profile, EveryCutAndEveryTailIsRefused) {
  const std::vector<std::byte> file = written(tiny_contents({.layers = Layers(1)}));
  for (std::size_t size = 0; size < file.size(); size += 1 + size / 7) {
    EXPECT_FALSE(Profile::parse(table(), std::span(file).first(size)).has_value()) << size;
  }
  std::vector<std::byte> longer = file;
  longer.push_back(std::byte{0});
  EXPECT_EQ(Profile::parse(table(), longer).error().code, ErrorCode::kTrailingBytes);
}

TEST(Profile, EveryFlippedBitIsRefused) {
  std::vector<std::byte> file = written(tiny_contents({.layers = Layers(1)}));
  for (std::size_t i = 0; i < file.size(); i += 1 + i / 50) {
    file[i] ^= std::byte{4};
    EXPECT_FALSE(Profile::parse(table(), file).has_value()) << i;
    file[i] ^= std::byte{4};
  }
}

TEST(Profile, ClaimedSizesAreCheckedBeforeMemoryIsTaken) {
  const std::vector<std::byte> file = written(tiny_contents({}));
  for (const std::size_t at : {std::size_t{8}, std::size_t{12}, std::size_t{16}}) {
    std::vector<std::byte> lying = file;
    store(std::span(lying), at, std::uint32_t{1024});
    reseal(lying);
    EXPECT_EQ(Profile::parse(table(), lying).error().code, ErrorCode::kBadLength) << at;
  }
}

TEST(Profile, ContentsThatContradictThemselvesAreNotWritten) {
  const auto refuses = [](auto change) {
    ProfileContents contents = tiny_contents({});
    change(contents);
    const auto file = write_profile(table(), contents);
    return !file.has_value() && file.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.means[3] = NAN; }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.weights[3] = 0; }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.bases.pop_back(); }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.class_frequencies[0] = 17; }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.levels[0].classes[0] = 250; }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.levels[0].classes.back() = 152; }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.levels[1].name = "base"; }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.levels[1].name = "a name that is too long"; }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.levels[1].step = -1; }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.levels.clear(); }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.layers_back = 2; }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.classifier.pop_back(); }));
  EXPECT_TRUE(refuses([](ProfileContents& c) { c.rope.dims = 8; }));
}

TEST(Profile, ReferencesAreOnlyStreamsThatCameBefore) {
  const ProfileContents contents =
      tiny_contents({.tier = Tier::kPredicted, .layers = Layers(9), .layers_back = 2, .intra_every = 4});
  for (std::size_t stream = 0; stream < contents.streams(); ++stream) {
    const References found = references(contents, stream);
    const std::size_t back = std::min<std::size_t>(2, stream / 2 % 4);
    EXPECT_EQ(found.count, stream % 2 + 2 * back);
    for (std::size_t i = 0; i < found.count; ++i) {
      EXPECT_LT(found.streams[i], stream);
      EXPECT_GE(found.streams[i], stream / 8 * 8);
    }
  }
}

TEST(ClassCosts, AreThoseOfProbabilities) {
  const ClassCosts costs;
  for (std::size_t index = 0; index < kCodedClasses; ++index) {
    double sum = 0;
    for (std::int32_t n = -3000; n <= 3000; ++n) sum += std::exp2(-costs.index_bits(index, n));
    EXPECT_LE(sum, 1.0001) << index;
    EXPECT_GE(sum, 0.9) << index;
  }
}

}  // namespace
}  // namespace sluice::codec
