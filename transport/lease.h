// Leases of one session: which slot the peer may fill, with what, until when. Every DATA frame is checked here before a
// byte of it is placed. Fabrics are two-sided (the receiver places), so a revoked lease frees its slot at once unless
// bytes are just being placed; then the slot is in quarantine until the fabric says that it writes there no more.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"
#include "transport/frame.h"
#include "transport/ring.h"

namespace sluice::transport {

/// The right of one peer to fill one slot once, with one part.
struct Lease {
  UnitKey unit;
  Part part = Part::kBase;
  Slot slot;
  Instant deadline;
  bool filling = false;
  bool revoked = false;
};

/// Threads: one.
class LeaseTable {
 public:
  void add(const Lease& lease);
  /// Where this DATA frame may land; marks the lease as filling.
  /// Errors: kStaleLease (none, revoked, other generation: drop the bytes), kProtocolViolation (unit, part or length
  /// that was not granted, or two frames for one lease at once: such a peer is not to be trusted).
  Result<std::span<std::byte>> begin(const FrameHeader& header);
  /// The fabric writes there no more. The lease leaves the table; nullopt when there is none.
  std::optional<Lease> end(SlotIndex slot, Generation generation);
  /// Leases of the request that are not filling leave the table; those that are get marked revoked.
  std::vector<Lease> revoke(RequestId request);
  /// As revoke(), for leases whose deadline has passed.
  std::vector<Lease> expire(Instant now);
  /// All that are left, filling or not: only once no fabric writes any more.
  std::vector<Lease> clear();

  bool empty() const { return leases_.empty(); }
  std::size_t size() const { return leases_.size(); }

 private:
  std::vector<Lease> revoke_where(const std::function<bool(const Lease&)>& chosen);

  std::map<SlotIndex, Lease> leases_;
};

}  // namespace sluice::transport
