// One node of the simulated cluster: an endpoint under virtual time, and a handler that plays both roles at random:
// it opens requests with its peers, grants, holds, finishes and aborts; it accepts, refuses, forgets, offers, sends,
// fails, announces. It also calls where it must not, and expects the error that Session states.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/sim/book.h"
#include "tests/sim/run_plan.h"
#include "transport/endpoint.h"
#include "transport/sim/sim_fabric.h"

namespace sluice::transport::simtest {

/// Which node it is, and which life of it: one that was killed may come again at its address.
struct NodeNumber {
  std::uint32_t place = 0;
  std::uint32_t life = 0;
};

/// Threads: one.
class SimNode final : private SessionHandler {
 public:
  SimNode(sim::SimNetwork& network, const RunPlan& plan, NodeNumber number);
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;

  static std::string address(std::uint32_t number) { return fmt::format("node-{}", number); }
  /// Connects, and again whenever it is lost.
  void keep_connected(std::uint32_t peer);
  void open_request();
  void announce();
  void drain();
  /// No new connections from here on, and no more laws about time.
  void retire() { retired_ = true; }
  void close();
  bool is_closed() const { return endpoint_ == nullptr; }

  sim::NodeLoop& loop() { return loop_; }
  Book& book() { return book_; }
  /// What must be true when nothing runs any more.  Throws Broken.
  void check_quiet() const;

 private:
  /// Units come to be, and are granted, within this.
  static constexpr Duration kProduce = std::chrono::milliseconds(40);
  static constexpr std::uint64_t kMostChunks = 4;

  void on_up(Session& session, const Hello& remote) override;
  void on_down(Session& session, Error error) override;
  void on_open(Session& session, const OpenRequest& request) override;
  void on_grant(Session& session, const GrantToken& token) override;
  void on_peer_done(Session& session, RequestId request) override;
  void on_peer_aborted(Session& session, RequestId request, Error error) override;
  void on_announce(Session& session, const Announce& announce) override;
  void on_accept(Session& session, RequestId request, const OpenAck& shape) override;
  void on_offer(Session& session, const Offer& offer) override;
  void on_part(Session& session, UnitKey unit, Part part, SlotHold hold) override;
  void on_sealed(Session& session, RequestId request, Units units) override;
  void on_request_failed(Session& session, RequestId request, Error error) override;
  void on_slots_free(Session& session) override;
  void on_goaway(Session& session) override;

  /// Later, on this node, unless the session is down by then.
  void later(Session& session, Duration longest, std::function<void()> task);
  void end_wanted(RequestId request, Wanted& own);
  void end_held(Session& session, RequestId request, const char* call);
  void check_in_time(Instant deadline, const char* side, RequestId request) const;
  void check_connected(const Result<Session*>& session) const;
  void check_ring(const char* when) const;
  void finish(Session& session, RequestId request, Wanted& own);
  Session* any_session() const;
  std::size_t unsettled(const Session& session) const;
  void check_bounded(const Session& session) const;
  void misuse_as_receiver(Session& session, const OpenRequest& open);
  void misuse_as_sender(Session& session, RequestId request, const OpenAck& shape);
  void decide(Session& session, RequestId request);
  void produce(Session& session, UnitKey unit, const std::shared_ptr<std::uint64_t>& left, const OpenAck& shape);
  void send(Session& session, const GrantToken& token);
  void serve(Session& session, RequestId request, const OpenAck& shape);
  void grant_or_wait(Session& session, UnitKey unit, const PartSize& part);
  void finish_if_whole(Session& session, RequestId request);
  void let_go(std::shared_ptr<SlotHold> hold, UnitKey unit, Part part);

  sim::World& world_;
  const RunPlan& plan_;
  NodeNumber number_;
  sim::NodeLoop loop_;
  Book book_;
  std::vector<std::pair<UnitKey, PartSize>> waiting_;  // for room in the ring
  sim::SimFabric fabric_;
  std::unique_ptr<Endpoint> endpoint_;
  Session* own_session_ = nullptr;  ///< that we made
  std::uint64_t opened_ = 0;
  bool retired_ = false;
  std::uint64_t holds_ = 0;
};

}  // namespace sluice::transport::simtest
