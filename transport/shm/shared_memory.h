// The memory that two processes of one host share: a memfd of sealed size. Whoever gets one from a peer checks all of
// it before a byte is mapped: its kind, its seals, its size. After that no act of the peer can make access fault.
#pragma once

#include <cstddef>
#include <span>

#include "base/quantity.h"
#include "base/result.h"
#include "transport/shm/unique_fd.h"

namespace sluice::transport::shm {

/// A mapping, readable and writable, at the peer too. Move-only.
/// Threads: any one at a time.
class SharedMemory {
 public:
  /// A new memfd, its size sealed, and its mapping. Errors: kNoMemory, kIo.
  static Result<SharedMemory> create(Bytes size);
  /// The memory of a peer. Errors: kBadField (no memfd, or huge pages), kProtocolViolation (its size can still change),
  /// kBadLength (another size), kNoMemory (not to be mapped).
  static Result<SharedMemory> adopt(const UniqueFd& memfd, Bytes size);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  std::span<std::byte> bytes() const { return bytes_; }
  /// Of create() only; to be sent, and then closed: the mapping needs it no more.
  UniqueFd take_memfd() { return std::move(memfd_); }

 private:
  SharedMemory(std::span<std::byte> bytes, UniqueFd memfd) : bytes_(bytes), memfd_(std::move(memfd)) {}
  static Result<SharedMemory> map(UniqueFd kept, int memfd, Bytes size);

  std::span<std::byte> bytes_;
  UniqueFd memfd_;
};

}  // namespace sluice::transport::shm
