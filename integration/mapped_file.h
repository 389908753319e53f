// A file as read-only bytes. Place in the flow: model files are hashed through it, containers and tensors are read from
// it. Invariant: bytes() is the whole file as it was when it was opened; who truncates it meanwhile kills the process,
// so only files that this user or an administrator owns are opened so.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace sluice::integration {

/// Owner of one mapping.
/// Threads: any number of readers.
class MappedFile {
 public:
  /// Errors:  kNotFound, kIo (with errno); kInvalidArgument for what is not a regular file.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  /// Empty for an empty file.
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

}  // namespace sluice::integration
