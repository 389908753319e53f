#include "scheduler/request_list.h"

#include <algorithm>

namespace sluice::scheduler {
namespace {

constexpr std::size_t kFirstBuckets = 64;

std::size_t mixed(RequestId id) {
  std::uint64_t hash = id.value() * 0x9e3779b97f4a7c15ULL;
  return static_cast<std::size_t>(hash ^ (hash >> 32U));
}

}  // namespace

bool RequestList::is_before(const Listed& left, const Listed& right) {
  const Instant mine = left.state.opened().deadline;
  const Instant other = right.state.opened().deadline;
  return mine != other ? mine < other : left.state.id() < right.state.id();
}

Listed& RequestList::add(const RequestOpened& opened, Instant now, const Levels& levels) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.push_back(std::make_unique<Listed>(Listed{.state = RequestState(opened, now, levels)}));
    // A request that ends must not allocate to give its memory back.
    free_.reserve(slots_.size());
  } else {
    slots_[free_.back()]->state.reuse(opened, now, levels);
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  Listed& request = *slots_[slot];
  request.slot = slot;
  request.figures = Figures{};
  request.wake = Instant::never();
  request.promise = PromiseState::kOpen;
  put(opened.request, slot);
  if (order_.empty()) order_.push_back(new_block());
  std::size_t place = block_for(request);
  if (blocks_[order_[place]].count == kBlockSize) {
    split(place);
    place = block_for(request);
  }
  request.block = order_[place];
  Block& block = blocks_[request.block];
  auto end = block.entries.begin() + block.count;
  const auto at = std::upper_bound(block.entries.begin(), end, &request,
                                   [](const Listed* left, const Listed* right) { return is_before(*left, *right); });
  std::move_backward(at, end, end + 1);
  *at = &request;
  ++block.count;
  request.heap_place = static_cast<std::uint32_t>(wakes_.size());
  wakes_.push_back({Instant::never(), &request});
  return request;
}

void RequestList::remove(Listed& request) {
  note(request, Figures{});
  drop(request.state.id());
  Block& block = blocks_[request.block];
  const auto end = block.entries.begin() + block.count;
  const auto at = std::find(block.entries.begin(), end, &request);
  std::move(at + 1, end, at);
  if (--block.count == 0) {
    order_.erase(std::find(order_.begin(), order_.end(), request.block));
    free_blocks_.push_back(request.block);
  }
  const std::size_t place = request.heap_place;
  wakes_[place] = wakes_.back();
  wakes_[place].request->heap_place = static_cast<std::uint32_t>(place);
  wakes_.pop_back();
  if (place < wakes_.size()) sift(place);
  free_.push_back(request.slot);
}

std::size_t RequestList::block_for(const Listed& request) const {
  // The last block whose first entry is not after the request.
  const auto after =
      std::upper_bound(order_.begin(), order_.end(), request, [&](const Listed& one, std::uint32_t other) {
        return blocks_[other].count > 0 && is_before(one, *blocks_[other].entries[0]);
      });
  return after == order_.begin() ? 0 : static_cast<std::size_t>(after - order_.begin()) - 1;
}

std::uint32_t RequestList::new_block() {
  if (free_blocks_.empty()) {
    blocks_.emplace_back();
    sums_.emplace_back();
    free_blocks_.reserve(blocks_.size());
    free_blocks_.push_back(static_cast<std::uint32_t>(blocks_.size() - 1));
  }
  const std::uint32_t number = free_blocks_.back();
  free_blocks_.pop_back();
  blocks_[number] = Block{};
  sums_[number] = Sums{};
  return number;
}

void RequestList::split(std::size_t place) {
  const std::uint32_t upper = new_block();
  Block& from = blocks_[order_[place]];
  Block& into = blocks_[upper];
  for (std::uint32_t i = kBlockSize / 2; i < kBlockSize; ++i) {
    into.entries[into.count++] = from.entries[i];
    from.entries[i]->block = upper;
  }
  from.count = kBlockSize / 2;
  sum_up(order_[place]);
  sum_up(upper);
  order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(place) + 1, upper);
}

void RequestList::sum_up(std::uint32_t number) {
  const Block& block = blocks_[number];
  Sums sums;
  for (std::uint32_t i = 0; i < block.count; ++i) {
    const Figures& figures = block.entries[i]->figures;
    sums.needy += figures.is_needy ? 1 : 0;
    sums.computing += figures.wants_compute ? 1 : 0;
    sums.floor_bytes += figures.floor_bytes;
    sums.slope = std::max(sums.slope, figures.slope);
  }
  sums_[number] = sums;
}

void RequestList::note(Listed& request, const Figures& figures) {
  Sums& sums = sums_[request.block];
  const Figures before = request.figures;
  request.figures = figures;
  sums.floor_bytes = sums.floor_bytes - before.floor_bytes + figures.floor_bytes;
  floor_bytes_ = floor_bytes_ - before.floor_bytes + figures.floor_bytes;
  const auto count = [](auto& counted, bool was, bool is) { counted = counted - (was ? 1U : 0U) + (is ? 1U : 0U); };
  count(sums.needy, before.is_needy, figures.is_needy);
  count(needy_, before.is_needy, figures.is_needy);
  count(sums.computing, before.wants_compute, figures.wants_compute);
  count(computing_, before.wants_compute, figures.wants_compute);
  count(bare_, before.is_bare, figures.is_bare);
  if (figures.slope >= sums.slope) {
    sums.slope = figures.slope;
  } else if (before.slope == sums.slope) {
    const Block& block = blocks_[request.block];
    sums.slope = 0;
    for (std::uint32_t i = 0; i < block.count; ++i) sums.slope = std::max(sums.slope, block.entries[i]->figures.slope);
  }
}

Bytes RequestList::floor_bytes_before(const Listed& request) const {
  Bytes sum;
  for (const std::uint32_t number : order_) {
    if (number != request.block) {
      sum += sums_[number].floor_bytes;
      continue;
    }
    const Block& block = blocks_[number];
    for (std::uint32_t i = 0; block.entries[i] != &request; ++i) sum += block.entries[i]->figures.floor_bytes;
    break;
  }
  return sum;
}

Listed* RequestList::first_patient() {
  Listed* found = nullptr;
  for (auto number = order_.rbegin(); number != order_.rend(); ++number) {
    const Block& block = blocks_[*number];
    for (std::uint32_t i = block.count; i-- > 0;) {
      if (block.entries[i]->state.opened().deadline != Instant::never()) return found;
      if (block.entries[i]->figures.is_needy) found = block.entries[i];
    }
  }
  return found;
}

Listed* RequestList::steepest() {
  std::uint64_t best = 0;
  const Block* holder = nullptr;
  for (const std::uint32_t number : order_) {
    if (sums_[number].slope <= best) continue;
    best = sums_[number].slope;
    holder = &blocks_[number];
  }
  if (holder == nullptr) return nullptr;
  return *std::find_if(holder->entries.begin(), holder->entries.begin() + holder->count,
                       [&](const Listed* entry) { return entry->figures.slope == best; });
}

Listed& RequestList::at(std::size_t place) const {
  for (const std::uint32_t number : order_) {
    const Block& block = blocks_[number];
    if (place < block.count) return *block.entries[place];
    place -= block.count;
  }
  SLUICE_ASSERT(false);
  return *slots_.front();
}

Listed* RequestList::find(RequestId request) {
  if (buckets_.empty()) return nullptr;
  const std::uint32_t held = buckets_[bucket(request)];
  return held == 0 ? nullptr : slots_[held - 1].get();
}

std::size_t RequestList::bucket(RequestId id) const {
  std::size_t at = mixed(id) & (buckets_.size() - 1);
  while (buckets_[at] != 0 && slots_[buckets_[at] - 1]->state.id() != id) at = (at + 1) & (buckets_.size() - 1);
  return at;
}

void RequestList::put(RequestId id, std::uint32_t slot) {
  // At most half full.
  if (buckets_.size() < (wakes_.size() + 1) * 2) grow();
  buckets_[bucket(id)] = slot + 1;
}

void RequestList::grow() {
  buckets_.assign(std::max(kFirstBuckets, buckets_.size() * 2), 0);
  for (const Wake& wake : wakes_) buckets_[bucket(wake.request->state.id())] = wake.request->slot + 1;
}

void RequestList::drop(RequestId id) {
  const std::size_t mask = buckets_.size() - 1;
  std::size_t hole = bucket(id);
  buckets_[hole] = 0;
  // Whatever had to step over it moves closer to where it belongs.
  for (std::size_t at = (hole + 1) & mask; buckets_[at] != 0; at = (at + 1) & mask) {
    const std::size_t home = mixed(slots_[buckets_[at] - 1]->state.id()) & mask;
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    std::swap(buckets_[hole], buckets_[at]);
    hole = at;
  }
}

void RequestList::wake(Listed& request, Instant at) {
  if (request.wake == at) return;
  request.wake = at;
  wakes_[request.heap_place].at = at;
  sift(request.heap_place);
}

void RequestList::sift(std::size_t place) {
  const Wake moved = wakes_[place];
  const auto put = [&](std::size_t at, const Wake& wake) {
    wakes_[at] = wake;
    wake.request->heap_place = static_cast<std::uint32_t>(at);
  };
  for (; place > 0 && moved.at < wakes_[(place - 1) / 2].at; place = (place - 1) / 2)
    put(place, wakes_[(place - 1) / 2]);
  while (place * 2 + 1 < wakes_.size()) {
    std::size_t child = place * 2 + 1;
    if (child + 1 < wakes_.size() && wakes_[child + 1].at < wakes_[child].at) ++child;
    if (moved.at <= wakes_[child].at) break;
    put(place, wakes_[child]);
    place = child;
  }
  put(place, moved);
}

}  // namespace sluice::scheduler
