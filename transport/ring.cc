#include "transport/ring.h"

#include <cstdlib>
#include <iterator>

#include "base/assert.h"

namespace sluice::transport {

void Ring::FreeArena::operator()(std::byte* memory) const { std::free(memory); }

Result<std::unique_ptr<Ring>> Ring::open(Bytes size, std::uint32_t slots) {
  const std::uint64_t capacity = size.count() / kGranule * kGranule;
  if (capacity == 0 || slots == 0) return Error{ErrorCode::kInvalidArgument, 0, "staging ring size"};
  void* memory = std::aligned_alloc(kGranule, capacity);
  if (memory == nullptr) return Error{ErrorCode::kNoMemory, 0, "staging ring"};
  std::unique_ptr<std::byte, FreeArena> arena(static_cast<std::byte*>(memory));
  return std::unique_ptr<Ring>(new Ring(std::move(arena), capacity, slots));
}

Ring::Ring(std::unique_ptr<std::byte, FreeArena> arena, std::size_t capacity, std::uint32_t slots)
    : arena_(std::move(arena)), capacity_(capacity), records_(slots) {
  holes_.emplace(0, capacity);
  free_records_.reserve(slots);
  for (std::uint32_t index = slots; index > 0; --index) free_records_.push_back(index - 1);
}

Result<Slot> Ring::take(Bytes size) {
  if (size.is_zero() || size.count() > capacity_) return Error{ErrorCode::kBadLength, 0, "slot size"};
  if (free_records_.empty()) return Error{ErrorCode::kNoSlot, 0, "slot numbers"};
  const std::size_t reserved = (size.count() + kGranule - 1) / kGranule * kGranule;
  auto hole = holes_.begin();
  while (hole != holes_.end() && hole->second < reserved) ++hole;
  if (hole == holes_.end()) return Error{ErrorCode::kNoSlot, 0, "staging ring"};
  const std::size_t offset = hole->first;
  const std::size_t rest = hole->second - reserved;
  holes_.erase(hole);
  if (rest > 0) holes_.emplace(offset + reserved, rest);
  const std::uint32_t index = free_records_.back();
  free_records_.pop_back();
  Record& record = records_[index];
  record.offset = offset;
  record.reserved = reserved;
  record.length = size.count();
  ++record.generation;
  used_ += reserved;
  return view(index);
}

Slot Ring::renew(SlotIndex index) {
  SLUICE_ASSERT(index.value() < records_.size() && records_[index.value()].reserved > 0);
  ++records_[index.value()].generation;
  return view(index.value());
}

void Ring::free(SlotIndex index, Generation generation) {
  SLUICE_ASSERT(is_current(index, generation));
  Record& record = records_[index.value()];
  give_back(record.offset, record.reserved);
  used_ -= record.reserved;
  record.reserved = 0;
  free_records_.push_back(index.value());
}

bool Ring::is_current(SlotIndex index, Generation generation) const {
  return index.value() < records_.size() && records_[index.value()].reserved > 0 &&
         records_[index.value()].generation == generation.value();
}

Slot Ring::view(std::uint32_t index) {
  const Record& record = records_[index];
  return Slot{SlotIndex(index), Generation(record.generation), {arena_.get() + record.offset, record.length}};
}

void Ring::give_back(std::size_t offset, std::size_t length) {
  auto [at, fresh] = holes_.emplace(offset, length);
  SLUICE_ASSERT(fresh);
  const auto next = std::next(at);
  if (next != holes_.end() && at->first + at->second == next->first) {
    at->second += next->second;
    holes_.erase(next);
  }
  if (at == holes_.begin()) return;
  const auto before = std::prev(at);
  if (before->first + before->second == at->first) {
    before->second += at->second;
    holes_.erase(at);
  }
}

}  // namespace sluice::transport
