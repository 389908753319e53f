#include "transport/shm/shared_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <utility>

namespace sluice::transport::shm {
namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

}  // namespace

Result<SharedMemory> SharedMemory::create(Bytes size) {
  UniqueFd memfd(::memfd_create("sluice ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd.is_open()) return Error{ErrorCode::kIo, errno, "memfd_create"};
  if (::ftruncate(memfd.get(), static_cast<off_t>(size.count())) != 0) {
    return Error{ErrorCode::kNoMemory, errno, "size of the shared ring"};
  }
  if (::fcntl(memfd.get(), F_ADD_SEALS, kSizeSeals | F_SEAL_SEAL) != 0) {
    return Error{ErrorCode::kIo, errno, "seals of the shared ring"};
  }
  const int number = memfd.get();
  return map(std::move(memfd), number, size);
}

Result<SharedMemory> SharedMemory::adopt(const UniqueFd& memfd, Bytes size) {
  struct statfs system {};
  // Huge pages would be another file system: a hole punched there may never be filled again, which faults.
  if (::fstatfs(memfd.get(), &system) != 0 || system.f_type != TMPFS_MAGIC) {
    return Error{ErrorCode::kBadField, errno, "shared ring is no memfd"};
  }
  const int seals = ::fcntl(memfd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSizeSeals) != kSizeSeals) {
    return Error{ErrorCode::kProtocolViolation, 0, "shared ring of unsealed size"};
  }
  struct stat file {};
  if (::fstat(memfd.get(), &file) != 0 || file.st_size != static_cast<off_t>(size.count())) {
    return Error{ErrorCode::kBadLength, errno, "size of the shared ring"};
  }
  return map(UniqueFd(), memfd.get(), size);
}

Result<SharedMemory> SharedMemory::map(UniqueFd kept, int memfd, Bytes size) {
  void* memory = ::mmap(nullptr, size.count(), PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
  if (memory == MAP_FAILED) return Error{ErrorCode::kNoMemory, errno, "mapping of the shared ring"};
  return SharedMemory({static_cast<std::byte*>(memory), static_cast<std::size_t>(size.count())}, std::move(kept));
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), memfd_(std::move(other.memfd_)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  SharedMemory taken(std::move(other));
  std::swap(bytes_, taken.bytes_);
  std::swap(memfd_, taken.memfd_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace sluice::transport::shm
