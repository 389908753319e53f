// What the verbs of `sluice codec` share.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "integration/codec_choice.h"

namespace sluice::programs {

/// What was typed after `sluice codec VERB`.
struct CodecArguments : integration::CodingWish {
  std::string in;
  std::string out;
  std::string profile;  ///< empty: none
  std::uint64_t most_gibibytes = 16;
};

/// `sluice codec inspect`: header, bytes by part and section, level and expected damage of a .slk file; levels and
/// bytes by section of a .slp file. As text or JSON on standard output.
Result<void> inspect_file(const CodecArguments& arguments, bool json);

}  // namespace sluice::programs
