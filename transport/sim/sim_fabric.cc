#include "transport/sim/sim_fabric.h"

#include <utility>

#include "transport/shared_channel.h"

namespace sluice::transport::sim {

std::vector<std::shared_ptr<PipeEnd>> SimNetwork::ends_of(const NodeLoop& loop) const {
  std::vector<std::shared_ptr<PipeEnd>> ends;
  for (const Connection& connection : connections_) {
    const std::shared_ptr<PipeEnd> own = connection.own.lock();
    if (connection.owner == &loop && own != nullptr && own->is_open()) ends.push_back(own);
  }
  return ends;
}

void SimNetwork::reset(const NodeLoop& loop) {
  for (const Connection& connection : connections_) {
    if (connection.owner != &loop) continue;
    const Error lost{ErrorCode::kPeerLost, 0, "connection reset"};
    if (const std::shared_ptr<PipeEnd> own = connection.own.lock()) own->cut(lost);
    const std::shared_ptr<PipeEnd> other = connection.other.lock();
    if (other != nullptr) world_.after(pipes_.delay, [other, lost] { other->cut(lost); });
  }
}

void SimNetwork::forget(const NodeLoop& loop) {
  std::erase_if(listeners_, [&](const auto& entry) { return &entry.second->loop_ == &loop; });
}

Result<std::string> SimFabric::listen(const std::string& address, ChannelDone accepted) {
  if (network_.listeners_.contains(address)) return Error{ErrorCode::kInvalidArgument, 0, "address is taken"};
  network_.listeners_[address] = this;
  address_ = address;
  accepted_ = std::move(accepted);
  return address;
}

void SimFabric::connect(const std::string& address, ChannelDone done) {
  const Instant answered = network_.world_.now() + 2 * network_.pipes_.delay;
  const auto refuse = [this, answered](ChannelDone told) {
    loop_.at(answered, [told = std::move(told)] { told(Error{ErrorCode::kUnreachable, 0, "simulated address"}); });
  };
  const auto found = network_.listeners_.find(address);
  if (found == network_.listeners_.end() || found->second->loop_.is_dead()) return refuse(std::move(done));
  SimFabric& listener = *found->second;
  auto own = std::make_shared<PipeEnd>(network_.world_, loop_, network_.pipes_, network_.watch_);
  auto other = std::make_shared<PipeEnd>(network_.world_, listener.loop_, network_.pipes_, network_.watch_);
  PipeEnd::join(own, other);
  network_.connections_.push_back({&loop_, own, other});
  network_.connections_.push_back({&listener.loop_, other, own});
  listener.loop_.at(network_.world_.now() + network_.pipes_.delay, [&network = network_, address, other] {
    const auto still = network.listeners_.find(address);
    auto channel = std::make_unique<SharedChannel<PipeEnd>>(other);
    if (still != network.listeners_.end()) still->second->accepted_(std::unique_ptr<Channel>(std::move(channel)));
  });
  loop_.at(answered, [own, done = std::move(done)] {
    done(std::unique_ptr<Channel>(std::make_unique<SharedChannel<PipeEnd>>(own)));
  });
}

void SimFabric::close() {
  const auto own = network_.listeners_.find(address_);
  if (own != network_.listeners_.end() && own->second == this) network_.listeners_.erase(own);
  address_.clear();
}

}  // namespace sluice::transport::sim
