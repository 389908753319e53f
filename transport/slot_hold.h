// Ownership of a filled slot of the staging ring, as the consumer of a part holds it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "base/identity.h"

namespace sluice::transport {

/// Where slots go back to. Threads: release() from any.
class SlotReturn {
 public:
  virtual ~SlotReturn() = default;
  virtual void release(SlotIndex slot, Generation generation) = 0;
};

/// The verified bytes of one part, in the ring. Gives the slot back when it dies. Move-only.
/// Threads: may be moved to and destroyed on another thread; the loop must still exist then.
class SlotHold {
 public:
  SlotHold() = default;
  SlotHold(std::shared_ptr<SlotReturn> owner, SlotIndex slot, Generation generation, std::span<const std::byte> bytes)
      : owner_(std::move(owner)), slot_(slot), generation_(generation), bytes_(bytes) {}
  SlotHold(SlotHold&& other) noexcept { swap(other); }
  SlotHold& operator=(SlotHold&& other) noexcept {
    SlotHold(std::move(other)).swap(*this);
    return *this;
  }
  SlotHold(const SlotHold&) = delete;
  SlotHold& operator=(const SlotHold&) = delete;
  ~SlotHold() {
    if (owner_ != nullptr) owner_->release(slot_, generation_);
  }

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  void swap(SlotHold& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(slot_, other.slot_);
    std::swap(generation_, other.generation_);
    std::swap(bytes_, other.bytes_);
  }

  std::shared_ptr<SlotReturn> owner_;
  SlotIndex slot_;
  Generation generation_;
  std::span<const std::byte> bytes_;
};

}  // namespace sluice::transport
