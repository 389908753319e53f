// The open requests of one ingress: found by number, walked by deadline, woken by time, with sums over those that come
// first, so that an event costs about the same with ten requests and with ten thousand.
// Invariants: order is (deadline, id); memory of a request that ended serves a later one, so nothing is allocated once
// as many requests have been open at the same time.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "scheduler/request_state.h"

namespace sluice::scheduler {

/// What the list keeps of each request beside its state. Changed through RequestList::note() and wake().
struct Figures {
  /// What the request's floor still has to bring over the link.
  Bytes floor_bytes;
  /// It has a part to grant below its floor.
  bool is_needy = false;
  /// It has units below its floor that can still be brought there: no refinement may pass it.
  bool is_bare = false;
  /// It wants the next of its chunks computed here.
  bool wants_compute = false;
  /// Of its best refinement; 0 when it has none that would be in time.
  std::uint64_t slope = 0;
};

/// Whether its deadline was promised; kOpen until its size is known.
enum class PromiseState : std::uint8_t { kOpen, kMade, kNotMade };

/// A request at its place.
struct Listed {
  RequestState state;
  Figures figures;
  Instant wake = Instant::never();
  PromiseState promise = PromiseState::kOpen;
  // The list's own.
  std::uint32_t block = 0;
  std::uint32_t slot = 0;
  std::uint32_t heap_place = 0;
};

/// Threads: one at a time.
class RequestList {
 public:
  /// The request must not be open.
  Listed& add(const RequestOpened& opened, Instant now, const Levels& levels);
  void remove(Listed& request);
  /// nullptr when it is not open.
  Listed* find(RequestId request);
  std::size_t size() const { return wakes_.size(); }
  bool empty() const { return wakes_.empty(); }

  void note(Listed& request, const Figures& figures);
  void wake(Listed& request, Instant at);
  /// The request that is to be looked at next, and when; nullptr when there is none.
  Listed* next_to_wake() { return wakes_.empty() ? nullptr : wakes_.front().request; }
  Instant next_wake() const { return wakes_.empty() ? Instant::never() : wakes_.front().at; }

  /// Sum of floor bytes of all requests, or of those before one.
  Bytes floor_bytes() const { return floor_bytes_; }
  Bytes floor_bytes_before(const Listed& request) const;
  /// The first by deadline that is needy, or wants compute; nullptr when none.
  Listed* first_needy() { return needy_ == 0 ? nullptr : first(&Sums::needy, &Figures::is_needy); }
  Listed* first_computing() { return computing_ == 0 ? nullptr : first(&Sums::computing, &Figures::wants_compute); }
  /// The first needy one that has no deadline; nullptr when none.
  Listed* first_patient();
  bool has_bare() const { return bare_ > 0; }
  /// The one with the highest slope, the earlier of equals; nullptr when none has any.
  Listed* steepest();

  /// Calls `visit(listed)` in order of deadline until it returns false. The list must not change meanwhile.
  template <typename Visit>
  void walk(Visit visit) const {
    for (const std::uint32_t number : order_) {
      const Block& block = blocks_[number];
      for (std::uint32_t i = 0; i < block.count; ++i) {
        if (!visit(*block.entries[i])) return;
      }
    }
  }
  /// The request at a place of the order; for policies that look at all of them.  Precondition: place < size().
  Listed& at(std::size_t place) const;

 private:
  static constexpr std::uint32_t kBlockSize = 64;
  /// Requests that follow each other by deadline.
  struct Block {
    std::array<Listed*, kBlockSize> entries{};
    std::uint32_t count = 0;
  };
  /// Of a block; apart from it, so that a walk over all of them stays in the cache.
  struct Sums {
    std::uint32_t needy = 0;
    std::uint32_t computing = 0;
    Bytes floor_bytes;
    std::uint64_t slope = 0;
  };
  struct Wake {
    Instant at;
    Listed* request = nullptr;
  };

  Listed* first(std::uint32_t Sums::*sum, bool Figures::*flag) {
    for (const std::uint32_t number : order_) {
      if (sums_[number].*sum == 0) continue;
      const Block& block = blocks_[number];
      for (std::uint32_t i = 0; i < block.count; ++i) {
        if (block.entries[i]->figures.*flag) return block.entries[i];
      }
    }
    return nullptr;
  }
  static bool is_before(const Listed& left, const Listed& right);
  std::size_t block_for(const Listed& request) const;
  std::uint32_t new_block();
  void split(std::size_t place);
  void sum_up(std::uint32_t number);
  void put(RequestId id, std::uint32_t slot);
  void drop(RequestId id);
  std::size_t bucket(RequestId id) const;
  void grow();
  void sift(std::size_t place);

  std::vector<std::unique_ptr<Listed>> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<Block> blocks_;
  std::vector<Sums> sums_;
  std::vector<std::uint32_t> free_blocks_;
  std::vector<std::uint32_t> order_;
  /// Open addressing: slot + 1 of the id that hashes here or before; 0 is empty.
  std::vector<std::uint32_t> buckets_;
  /// A heap by wake.
  std::vector<Wake> wakes_;
  Bytes floor_bytes_;
  std::uint64_t bare_ = 0;
  std::uint64_t needy_ = 0;
  std::uint64_t computing_ = 0;
};

}  // namespace sluice::scheduler
