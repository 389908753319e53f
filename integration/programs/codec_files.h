// What the verbs of `sluice codec` share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "codec/profile.h"
#include "kernels/shape.h"
#include "kernels/table.h"

namespace sluice::programs {

/// What was typed after `sluice codec VERB`.
struct CodecArguments {
  std::string in;
  std::string out;
  std::string profile;       ///< empty: none
  std::string level;         ///< empty: the verb's default
  std::uint64_t stages = 0;  ///< 0: the verb's default
  std::uint64_t chunk_tokens = 256;
  std::uint64_t group_layers = 0;  ///< 0: 6, or what the profile needs
  std::uint64_t most_gibibytes = 16;
};

/// Bits per K or V value that so many bytes are.  Threads: pure.
double bits_per_value(std::uint64_t bytes, const kernels::KvShape& shape);

/// `sluice codec inspect`: header, bytes by part and section, level and expected damage of a .slk file; levels and
/// bytes by section of a .slp file. As text or JSON on standard output.
Result<void> inspect_file(const CodecArguments& arguments, bool json);

}  // namespace sluice::programs
