// What a .slk or .slp file holds, as JSON: for `sluice codec inspect`, the C ABI and Python alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>

#include "base/result.h"
#include "codec/profile.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::integration {

/// Bits per K or V value that so many bytes are.  Threads: pure.
double bits_per_value(std::uint64_t bytes, const kernels::KvShape& shape);

/// Whether the bytes begin as a profile does.  Threads: pure.
bool is_profile_file(std::span<const std::byte> file);

/// Header, bytes by part and section, level and expected damage of a .slk file (its profile says the last; nullptr for
/// none); levels and bytes by section of a .slp file.
/// Errors:  those of codec::ContainerView, codec::parse_frame and codec::Profile; kProfileMismatch.  Threads: pure.
Result<nlohmann::json> inspect_codec_file(const kernels::KernelTable& kernels, std::span<const std::byte> file,
                                          const codec::Profile* profile);

}  // namespace sluice::integration
