#include "transport/lease.h"

#include "base/assert.h"

namespace sluice::transport {

void LeaseTable::add(const Lease& lease) {
  const bool fresh = leases_.emplace(lease.slot.index, lease).second;
  SLUICE_ASSERT(fresh);
}

Result<std::span<std::byte>> LeaseTable::begin(const FrameHeader& header) {
  const auto at = leases_.find(header.slot);
  if (at == leases_.end() || at->second.revoked || at->second.slot.generation != header.generation) {
    return Error{ErrorCode::kStaleLease, 0, "data frame"};
  }
  Lease& lease = at->second;
  const bool as_granted = lease.unit == header.unit && lease.part == header.part && !header.length.is_zero() &&
                          header.length.count() <= lease.slot.bytes.size();
  if (!as_granted || lease.filling) return Error{ErrorCode::kProtocolViolation, 0, "data frame against its lease"};
  lease.filling = true;
  return lease.slot.bytes.first(header.length.count());
}

std::optional<Lease> LeaseTable::end(SlotIndex slot, Generation generation) {
  const auto at = leases_.find(slot);
  if (at == leases_.end() || at->second.slot.generation != generation) return std::nullopt;
  const Lease lease = at->second;
  leases_.erase(at);
  return lease;
}

std::vector<Lease> LeaseTable::revoke(RequestId request) {
  return revoke_where([request](const Lease& lease) { return lease.unit.request == request; });
}

std::vector<Lease> LeaseTable::expire(Instant now) {
  return revoke_where([now](const Lease& lease) { return lease.deadline <= now && !lease.revoked; });
}

std::vector<Lease> LeaseTable::clear() {
  std::vector<Lease> all;
  for (const auto& [slot, lease] : leases_) all.push_back(lease);
  leases_.clear();
  return all;
}

std::vector<Lease> LeaseTable::revoke_where(const std::function<bool(const Lease&)>& chosen) {
  std::vector<Lease> gone;
  for (auto at = leases_.begin(); at != leases_.end();) {
    if (!chosen(at->second)) {
      ++at;
    } else if (at->second.filling) {
      at->second.revoked = true;
      ++at;
    } else {
      gone.push_back(at->second);
      at = leases_.erase(at);
    }
  }
  return gone;
}

}  // namespace sluice::transport
