#include "integration/file_output.h"

#include <cerrno>
#include <cstdio>

namespace sluice::integration {
namespace {

Error error_of(int cause, const char* where) {
  return Error{cause == ENOSPC ? ErrorCode::kDiskFull : ErrorCode::kIo, cause, where};
}

Result<void> write_all(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return error_of(errno, "create file");
  int cause = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size() ? 0 : errno;
  if (std::fclose(file) != 0 && cause == 0) cause = errno;
  if (cause != 0) return error_of(cause, "write file");
  return {};
}

}  // namespace

Result<void> replace_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::filesystem::path partial = path;
  partial += ".partial";
  Result<void> outcome = write_all(partial, bytes);
  if (outcome && std::rename(partial.c_str(), path.c_str()) != 0) outcome = error_of(errno, "rename file");
  if (!outcome) std::remove(partial.c_str());
  return outcome;
}

}  // namespace sluice::integration
