// A network in virtual time: messages from node to node over ports that are shared max-min fairly, as fluid. Every node
// has an egress and an ingress; nodes may stand in racks whose up- and downlinks are shared as well.
// Messages of one pair of nodes go one after another; pairs share what their ports have.
// Invariants: integers only; no port carries more than its rate; what goes in comes out, to the bit.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "base/clock.h"
#include "base/quantity.h"

namespace sluice::scheduler::sim {

/// Rates of every node's port, each way, and of every rack's, each way. Threads: a value.
struct FabricShape {
  std::uint32_t nodes = 0;
  BitsPerSecond port;
  /// Nodes in a rack; 0: there are no racks, every port sees every other.
  std::uint32_t rack_nodes = 0;
  BitsPerSecond rack_port;
};

/// A message, as its owner numbers it.
using MessageId = std::uint64_t;

/// From a node to a node; at most 2 GB.
struct Message {
  MessageId id = 0;
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  Bytes bytes;
};

/// Threads: one.
class Fabric {
 public:
  explicit Fabric(const FabricShape& shape);

  /// Hands over a message at `now`, which never goes back.
  void send(const Message& message, Instant now);
  /// When the next message is through; Instant::never() when none is under way.
  Instant next() const { return ends_.empty() ? Instant::never() : ends_.front().at; }
  /// The message that is through at next(). Precondition: next() is not never().
  MessageId take();
  /// Rate of a pair at this moment; zero when nothing is under way. For tests.
  BitsPerSecond rate(std::uint32_t from, std::uint32_t to) const;
  std::size_t active_pairs() const { return active_.size(); }

 private:
  /// Bits x 10^9, so that a rate times nanoseconds is exact.
  using Work = std::uint64_t;
  struct Unsent {
    MessageId id = 0;
    Work left = 0;
  };
  struct Pair {
    std::deque<Unsent> queue;
    std::vector<std::uint32_t> ports;
    BitsPerSecond rate;
    Instant since;
    Instant end = Instant::never();
    std::uint32_t heap_place = 0;
  };
  struct End {
    Instant at;
    std::uint32_t pair = 0;
  };

  std::uint32_t pair_of(std::uint32_t from, std::uint32_t to);
  void share(Instant now);
  void progress(Pair& pair, Instant now);
  void set_end(std::uint32_t number, Instant at);
  void remove_end(std::uint32_t number);
  void sift(std::size_t place);

  FabricShape shape_;
  /// Rate of each port: egress of each node, ingress of each node, uplinks, downlinks.
  std::vector<std::uint64_t> port_rates_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> numbers_;
  std::deque<Pair> pairs_;
  std::vector<std::uint32_t> active_;
  /// A heap of ends, one for each active pair.
  std::vector<End> ends_;
  // Of share(): kept so that nothing is allocated.
  std::vector<std::uint64_t> left_;
  std::vector<std::uint32_t> users_;
  std::vector<std::uint32_t> used_ports_;
  std::vector<std::uint32_t> open_;
};

}  // namespace sluice::scheduler::sim
