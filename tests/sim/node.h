// One node of the simulated cluster: an endpoint under virtual time, and a handler that plays both roles at random:
// it opens requests with its peers, grants, holds, finishes and aborts; it accepts, refuses, forgets, offers, sends,
// fails.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/event_sink.h"
#include "tests/sim/book.h"
#include "transport/endpoint.h"
#include "transport/sim/sim_fabric.h"

namespace sluice::transport::simtest {

/// What is random about a whole run.
struct RunPlan {
  EndpointOptions endpoint;
  sim::PipeOptions pipes;
  std::uint32_t nodes = 2;
  std::uint32_t requests = 4;  ///< that each node opens
  bool drains = false;
  /// Faults, 0 for none: how many of each.
  std::uint32_t resets = 0;
  std::uint32_t partitions = 0;
  std::uint32_t pauses = 0;
  bool kills = false;
  Duration length = std::chrono::milliseconds(1500);  ///< in which things begin
};

/// Threads: one.
class SimNode final : private SessionHandler {
 public:
  SimNode(sim::SimNetwork& network, const RunPlan& plan, std::uint32_t number);
  SimNode(const SimNode&) = delete;
  SimNode& operator=(const SimNode&) = delete;

  static std::string address(std::uint32_t number) { return fmt::format("node-{}", number); }
  /// Connects, and again whenever it is lost.
  void keep_connected(std::uint32_t peer);
  void open_request();
  void drain() { endpoint_->drain(); }
  /// No new connections from here on, and no more laws about time.
  void retire() { retired_ = true; }
  void close();
  bool is_closed() const { return endpoint_ == nullptr; }

  sim::NodeLoop& loop() { return loop_; }
  const Book& book() const { return book_; }
  /// What must be true when nothing runs any more.  Throws Broken.
  void check_quiet() const;

 private:
  void on_up(Session& session, const Hello& remote) override;
  void on_down(Session& session, Error error) override;
  void on_open(Session& session, const OpenRequest& request) override;
  void on_grant(Session& session, const GrantToken& token) override;
  void on_peer_done(Session& session, RequestId request) override;
  void on_peer_aborted(Session& session, RequestId request, Error error) override;
  void on_announce(Session&, const Announce&) override {}
  void on_accept(Session& session, RequestId request, const OpenAck& shape) override;
  void on_offer(Session& session, const Offer& offer) override;
  void on_part(Session& session, UnitKey unit, Part part, SlotHold hold) override;
  void on_sealed(Session& session, RequestId request, Units units) override;
  void on_request_failed(Session& session, RequestId request, Error error) override;
  void on_slots_free(Session& session) override;
  void on_goaway(Session&) override {}

  /// Later, on this node, unless the session is down by then.
  void later(Session& session, Duration longest, std::function<void()> task);
  void end_wanted(RequestId request, Wanted& own);
  void end_held(Session& session, RequestId request, const char* call);
  void check_in_time(Instant deadline, const char* side, RequestId request) const;
  void serve(Session& session, RequestId request, const OpenAck& shape);
  void grant_or_wait(Session& session, UnitKey unit, const PartSize& part);
  void finish_if_whole(Session& session, RequestId request);
  void let_go(std::shared_ptr<SlotHold> hold, UnitKey unit, Part part);

  sim::World& world_;
  const RunPlan& plan_;
  std::uint32_t number_;
  sim::NodeLoop loop_;
  NullEventSink events_;
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
