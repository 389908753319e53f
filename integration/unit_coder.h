// Turns rows of one unit into the parts that a node offers, and received parts back into rows: what
// a transfer needs of the codec (files are kv_container's). One object per codec thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/identity.h"
#include "base/result.h"
#include "codec/decoder.h"
#include "codec/encoder.h"
#include "integration/geometry.h"
#include "integration/store.h"

namespace sluice::integration {

/// Which parts a node makes.
struct PartChoice {
  bool raw = true;
  bool lossless = true;
  bool int8 = true;
  bool nested = true;
};

/// The profile that nested parts are coded with.
struct CoderOptions {
  std::string profile;           ///< file; empty: none
  std::string level = "nested";  ///< of the profile; should have several stages, so that a link can choose
};

/// Threads: one at a time.
class UnitCoder {
 public:
  /// Errors: those of MappedFile::open and Profile::parse; kNotFound for a level that the profile does not have.
  static Result<UnitCoder> open(const CoderOptions& options = {});

  /// What a peer must have to decode our nested parts: the profile's hash, or the same number at every node without
  /// one.
  ContentHash profile() const;

  /// What the profile states of the level's stages, base first; empty without a profile.
  std::span<const codec::StageQuality> stated_quality() const;

  /// Parts that cannot be made of these values (NaN or infinity in nested or int8) are left out.
  /// Errors: those of the codec when nothing could be made.
  Result<StoredUnit> encode(const KvPlanes& planes, const Geometry& geometry, UnitKey unit, PartChoice choice);

  /// Best rows that `parts` give, into `planes`; they are untouched on an error.
  /// Errors: kNotFound when no decodable part is there; those of codec::Decoder.
  Result<void> decode(std::span<const StoredPart* const> parts, const Geometry& geometry, UnitKey unit,
                      KvPlanes& planes);

 private:
  struct Level {
    std::shared_ptr<const codec::Profile> profile;  ///< nullptr: none
    std::size_t number = 0;
  };
  UnitCoder(Level level, codec::Encoder encoder, codec::Decoder decoder);
  Level level_;  // before encoder and decoder, which look at its profile
  codec::Encoder encoder_;
  codec::Decoder decoder_;
  std::vector<std::byte> scratch_;
};

/// The last part of those that the best rows are made of; nothing where `parts` give no rows.  Threads: pure.
std::optional<Part> decoded_part(std::span<const StoredPart* const> parts);

}  // namespace sluice::integration
