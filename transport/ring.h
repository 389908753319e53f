// The staging ring: one bounded arena, cut first-fit into slots of the sizes asked for. It is the only memory that a
// peer's bytes reach. Each reuse of a slot number has a larger generation, so that a late frame never fits a new lease.
// Invariants: taken slots never overlap; used() <= size(); a slot is freed once, by its current generation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/identity.h"
#include "base/quantity.h"
#include "base/result.h"

namespace sluice::transport {

/// A piece of the ring in its present generation. A view: the Ring owns the bytes.
struct Slot {
  SlotIndex index;
  Generation generation;
  std::span<std::byte> bytes;
};

/// Threads: one.
class Ring {
 public:
  /// Sizes are rounded up to it inside.
  static constexpr std::size_t kGranule = 4096;

  /// Errors: kNoMemory, kInvalidArgument (no bytes or no slots).
  static Result<std::unique_ptr<Ring>> open(Bytes size, std::uint32_t slots);

  /// Errors: kNoSlot (now: a slot freed later may help), kBadLength (zero, or more than the whole ring: never).
  Result<Slot> take(Bytes size);
  /// The same memory as a new lease: what was granted before is void.
  Slot renew(SlotIndex index);
  void free(SlotIndex index, Generation generation);

  bool is_current(SlotIndex index, Generation generation) const;
  Bytes size() const { return Bytes(capacity_); }
  Bytes used() const { return Bytes(used_); }

 private:
  struct Record {
    std::size_t offset = 0;
    std::size_t reserved = 0;  // 0 = free
    std::size_t length = 0;
    std::uint64_t generation = 0;
  };
  struct FreeArena {
    void operator()(std::byte* memory) const;
  };

  Ring(std::unique_ptr<std::byte, FreeArena> arena, std::size_t capacity, std::uint32_t slots);
  Slot view(std::uint32_t index);
  void give_back(std::size_t offset, std::size_t length);

  std::unique_ptr<std::byte, FreeArena> arena_;
  std::size_t capacity_;
  std::size_t used_ = 0;
  std::map<std::size_t, std::size_t> holes_;  // offset -> length, never adjacent
  std::vector<Record> records_;
  std::vector<std::uint32_t> free_records_;
};

}  // namespace sluice::transport
