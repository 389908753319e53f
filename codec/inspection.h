// Where the bytes of a frame or profile go, for people and reports. Reads checked views only; decides nothing.
#pragma once

#include <string_view>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "codec/frame.h"
#include "codec/profile.h"

namespace sluice::codec {

/// One section and its bytes, padding included.
struct SectionSize {
  std::string_view name;
  Bytes size;
};

/// Sections of a frame in order; their sum is the frame's size.
/// Errors: kBadLength for a nested payload whose directory lies.  Threads: pure.
Result<std::vector<SectionSize>> frame_sections(const FrameView& frame);

/// Sections of a profile's file in order, all levels' classes as one; their sum is the file's size.  Threads: pure.
std::vector<SectionSize> profile_sections(const Profile& profile);

}  // namespace sluice::codec
