// What the machine gives without a protocol, for `sluice bench transport`: a copy by one thread, plain blocking
// sockets, and a bare ring in shared memory. No digests, no leases, no framing; the same pool, shapes and judging as
// transport_pair.h.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "integration/bench/transport_pair.h"

namespace sluice::integration::bench {

/// Serves the pool over plain sockets (kTcp) or a bare ring (kRing) until it is killed. `ready` is told the address.
enum class RawKind : std::uint8_t { kTcp, kRing };
/// Errors: kIo.
Result<void> serve_raw(RawKind kind, const std::function<void(const std::string&)>& ready);

/// The measuring end. Threads: one; measure() blocks.
class RawPair {
 public:
  /// Errors: kIo, kUnreachable.
  static Result<std::unique_ptr<RawPair>> open(RawKind kind, const std::string& address, int pid);
  virtual ~RawPair() = default;
  /// Errors: kPeerLost, kIo.
  virtual Result<Took> measure(Shape shape) = 0;
};

/// Copies a window by one thread, from cold memory to cold memory; kRoundTrip is not among its shapes.
class CopyBench {
 public:
  Took measure(Shape shape);

 private:
  std::vector<std::byte> pool_ = make_pool();
  std::vector<std::byte> target_ = std::vector<std::byte>(kPool, std::byte{1});
  std::vector<std::uint32_t> order_ = fragment_order();
  std::uint64_t transfers_ = 0;
};

}  // namespace sluice::integration::bench
