// A byte stream between two processes as raw_pair.cc uses it: blocking, many pieces at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "integration/bench/raw_pair.h"

namespace sluice::integration::bench {

/// Threads: one. All calls wait until the last byte.
class RawStream {
 public:
  virtual ~RawStream() = default;
  /// Errors: kPeerLost, kIo.
  virtual Result<void> write(std::span<const std::span<const std::byte>> pieces) = 0;
  virtual Result<void> read(std::span<const std::span<std::byte>> pieces) = 0;
};

/// Listens for one peer, says where, and waits for it. Errors: kIo.
Result<std::unique_ptr<RawStream>> await_stream(RawKind kind, const std::function<void(const std::string&)>& ready);
/// Errors: kIo, kUnreachable.
Result<std::unique_ptr<RawStream>> connect_stream(RawKind kind, const std::string& address);

}  // namespace sluice::integration::bench
