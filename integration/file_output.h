// Files written whole or not at all. Place in the flow: programs that make containers, tensors and recordings.
// Invariant: a reader of the path sees the old file or the new one, never a part.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace sluice::integration {

/// Writes PATH.partial and renames it to PATH; on an error PATH is as it was and nothing else is left.
/// Errors:  kDiskFull, kIo (with errno).
Result<void> replace_file(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace sluice::integration
