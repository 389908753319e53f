#include "scheduler/sim/fabric.h"

#include <algorithm>

namespace sluice::scheduler::sim {
namespace {

constexpr std::uint64_t kBitNanoseconds = 8ULL * 1'000'000'000;
constexpr Bytes kLargestMessage{2'000'000'000};

}  // namespace

Fabric::Fabric(const FabricShape& shape) : shape_(shape) {
  SLUICE_ASSERT(shape.nodes > 0 && !shape.port.is_zero());
  const std::uint32_t racks = shape.rack_nodes == 0 ? 0 : (shape.nodes + shape.rack_nodes - 1) / shape.rack_nodes;
  port_rates_.assign(std::size_t{2} * shape.nodes, shape.port.count());
  port_rates_.resize(port_rates_.size() + std::size_t{2} * racks, shape.rack_port.count());
  left_.resize(port_rates_.size());
  users_.resize(port_rates_.size());
}

std::uint32_t Fabric::pair_of(std::uint32_t from, std::uint32_t to) {
  const auto [found, is_new] = numbers_.try_emplace({from, to}, static_cast<std::uint32_t>(pairs_.size()));
  if (!is_new) return found->second;
  Pair pair;
  pair.ports = {from, shape_.nodes + to};
  if (shape_.rack_nodes > 0 && from / shape_.rack_nodes != to / shape_.rack_nodes) {
    const std::uint32_t racks = (shape_.nodes + shape_.rack_nodes - 1) / shape_.rack_nodes;
    pair.ports.push_back(2 * shape_.nodes + from / shape_.rack_nodes);
    pair.ports.push_back(2 * shape_.nodes + racks + to / shape_.rack_nodes);
  }
  pairs_.push_back(std::move(pair));
  return found->second;
}

void Fabric::send(const Message& message, Instant now) {
  SLUICE_ASSERT(message.bytes <= kLargestMessage && !message.bytes.is_zero());
  const std::uint32_t number = pair_of(message.from, message.to);
  Pair& pair = pairs_[number];
  pair.queue.push_back({message.id, message.bytes.count() * kBitNanoseconds});
  if (pair.queue.size() > 1) return;
  pair.since = now;
  active_.push_back(number);
  pair.heap_place = static_cast<std::uint32_t>(ends_.size());
  pair.end = Instant::never();
  ends_.push_back({Instant::never(), number});
  share(now);
}

MessageId Fabric::take() {
  const auto [at, number] = ends_.front();
  Pair& pair = pairs_[number];
  progress(pair, at);
  const MessageId message = pair.queue.front().id;
  pair.queue.pop_front();
  if (pair.queue.empty()) {
    remove_end(number);
    active_.erase(std::find(active_.begin(), active_.end(), number));
    pair.rate = BitsPerSecond(0);
    share(at);
  } else {
    const Work left = pair.queue.front().left;
    set_end(number, at + Duration(static_cast<std::int64_t>((left + pair.rate.count() - 1) / pair.rate.count())));
  }
  return message;
}

void Fabric::progress(Pair& pair, Instant now) {
  const WideCount done = static_cast<WideCount>((now - pair.since).count()) * pair.rate.count();
  Work& left = pair.queue.front().left;
  left -= static_cast<Work>(std::min<WideCount>(done, left));
  pair.since = now;
}

/// Progressive filling: the port that has least for each of its pairs settles them, again and again.
void Fabric::share(Instant now) {
  used_ports_.clear();
  open_ = active_;
  for (const std::uint32_t number : open_) {
    for (const std::uint32_t port : pairs_[number].ports) {
      if (users_[port]++ == 0) {
        used_ports_.push_back(port);
        left_[port] = port_rates_[port];
      }
    }
  }
  while (!open_.empty()) {
    std::uint64_t least = ~std::uint64_t{0};
    for (const std::uint32_t port : used_ports_) {
      if (users_[port] > 0) least = std::min(least, left_[port] / users_[port]);
    }
    const auto is_tight = [&](std::uint32_t port) { return left_[port] / users_[port] == least; };
    // All that cross a tight port are settled; the ports are judged as they were before any of them is taken out.
    const auto rest = std::stable_partition(open_.begin(), open_.end(), [&](std::uint32_t number) {
      return std::none_of(pairs_[number].ports.begin(), pairs_[number].ports.end(), is_tight);
    });
    for (auto settled = rest; settled != open_.end(); ++settled) {
      Pair& pair = pairs_[*settled];
      for (const std::uint32_t port : pair.ports) {
        left_[port] -= least;
        --users_[port];
      }
      const BitsPerSecond rate(std::max<std::uint64_t>(least, 1));
      if (rate == pair.rate) continue;
      progress(pair, now);
      pair.rate = rate;
      const Work work = pair.queue.front().left;
      set_end(*settled, now + Duration(static_cast<std::int64_t>((work + rate.count() - 1) / rate.count())));
    }
    open_.erase(rest, open_.end());
  }
}

BitsPerSecond Fabric::rate(std::uint32_t from, std::uint32_t to) const {
  const auto found = numbers_.find({from, to});
  return found == numbers_.end() ? BitsPerSecond(0) : pairs_[found->second].rate;
}

void Fabric::set_end(std::uint32_t number, Instant at) {
  Pair& pair = pairs_[number];
  pair.end = at;
  ends_[pair.heap_place].at = at;
  sift(pair.heap_place);
}

void Fabric::remove_end(std::uint32_t number) {
  const std::size_t place = pairs_[number].heap_place;
  ends_[place] = ends_.back();
  pairs_[ends_[place].pair].heap_place = static_cast<std::uint32_t>(place);
  ends_.pop_back();
  if (place < ends_.size()) sift(place);
}

void Fabric::sift(std::size_t place) {
  // Equal times by the pair's number, so that the order is the same everywhere.
  const auto is_sooner = [&](std::size_t one, std::size_t other) {
    const End& left = ends_[one];
    const End& right = ends_[other];
    return left.at != right.at ? left.at < right.at : left.pair < right.pair;
  };
  const auto exchange = [&](std::size_t one, std::size_t other) {
    std::swap(ends_[one], ends_[other]);
    pairs_[ends_[one].pair].heap_place = static_cast<std::uint32_t>(one);
    pairs_[ends_[other].pair].heap_place = static_cast<std::uint32_t>(other);
  };
  for (; place > 0 && is_sooner(place, (place - 1) / 2); place = (place - 1) / 2) exchange(place, (place - 1) / 2);
  while (true) {
    std::size_t least = place;
    for (const std::size_t child : {2 * place + 1, 2 * place + 2}) {
      if (child < ends_.size() && is_sooner(child, least)) least = child;
    }
    if (least == place) return;
    exchange(place, least);
    place = least;
  }
}

}  // namespace sluice::scheduler::sim
