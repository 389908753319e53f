// A StreamFabric whose connections are simulated: the network of a simulated cluster, and each node's door to it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "transport/fabric.h"
#include "transport/sim/sim_pipe.h"
#include "transport/sim/world.h"

namespace sluice::transport::sim {

class SimFabric;

/// Who listens where, and every connection that was made. Outlives the fabrics. Threads: one.
class SimNetwork {
 public:
  SimNetwork(World& world, const PipeOptions& pipes, Watch& watch) : world_(world), pipes_(pipes), watch_(watch) {}

  /// Connections of a node that are still open.
  std::vector<std::shared_ptr<PipeEnd>> ends_of(const NodeLoop& loop) const;
  /// Breaks all of a node's connections; the other sides learn of it after the delay, as by a reset.
  void reset(const NodeLoop& loop);
  /// The node is gone for good: its address may be taken by another.
  void forget(const NodeLoop& loop);
  World& world() { return world_; }
  const PipeOptions& pipes() const { return pipes_; }

 private:
  friend class SimFabric;
  struct Connection {
    const NodeLoop* owner;
    std::weak_ptr<PipeEnd> own;
    std::weak_ptr<PipeEnd> other;
  };
  World& world_;
  PipeOptions pipes_;
  Watch& watch_;
  std::map<std::string, SimFabric*> listeners_;
  std::vector<Connection> connections_;
};

/// One node's fabric. Threads: one.
class SimFabric final : public StreamFabric {
 public:
  SimFabric(SimNetwork& network, NodeLoop& loop) : network_(network), loop_(loop) {}
  ~SimFabric() override { close(); }

  std::string_view name() const override { return "sim"; }
  /// Errors: kInvalidArgument for an address that is taken.
  Result<std::string> listen(const std::string& address, ChannelDone accepted) override;
  void connect(const std::string& address, ChannelDone done) override;
  void close() override;

 private:
  friend class SimNetwork;
  SimNetwork& network_;
  NodeLoop& loop_;
  std::string address_;
  ChannelDone accepted_;
};

}  // namespace sluice::transport::sim
