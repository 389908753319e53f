// Levels by name: what `sluice codec`, the C ABI and Python are asked for, as options of the container writer.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "codec/profile.h"
#include "integration/kv_container.h"

namespace sluice::integration {

/// Levels that need no profile, each named as its last part.
inline constexpr std::array kPlainLevels = {Part::kRaw,  Part::kLossless,    Part::kInt8,
                                            Part::kBase, Part::kRefinement1, Part::kRefinement2};

/// What somebody asks for.
struct CodingWish {
  std::string level;         ///< of kPlainLevels, or of the profile; empty: see choose_coding
  std::uint64_t stages = 0;  ///< so many nested stages; 0: all that the level has
  std::uint64_t chunk_tokens = 256;
  std::uint64_t group_layers = 0;  ///< 0: what the profile needs, else 6
};

/// The plain level of that name.  Threads: pure.
std::optional<Part> plain_level(std::string_view name);

/// The last of so many stages.  Precondition: 1..3.  Threads: pure.
Part last_stage(std::uint64_t stages);

/// Layers of one unit; profile may be nullptr.  Threads: pure.
Layers group_layers_of(const CodingWish& wish, const codec::Profile* profile);

/// Fills level, profile, chunks and groups. Without a level: lossless, or with a profile the first level of so many
/// stages where those are given, else the one called "default", else the first.
/// Errors:  kNotFound for a level that nobody has, kInvalidArgument for more stages than it has.
Result<void> choose_coding(const CodingWish& wish, const codec::Profile* profile, KvContainerOptions& options);

}  // namespace sluice::integration
