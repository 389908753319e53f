// Profiles by file name. Place in the flow: the node's coder and the verbs of `sluice codec` open theirs here.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "codec/profile.h"
#include "kernels/table.h"

namespace sluice::integration {

/// The profile of that file; nothing for an empty name.
/// Errors:  those of MappedFile::open and Profile::parse.
Result<std::optional<codec::Profile>> read_profile(const kernels::KernelTable& kernels, const std::string& path);

}  // namespace sluice::integration
