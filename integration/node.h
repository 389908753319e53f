// A Sluice node: the composition root. Builds fabrics, endpoint, codec and engine workers, store, services, and hands
// each what it needs; joins transport, codec and scheduler, which do not know each other.
// Shutdown order is the members' order reversed: services, workers, endpoint, fabrics. async_close() first.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/event_sink.h"
#include "base/result.h"
#include "integration/data_fabric.h"
#include "integration/decision_log.h"
#include "integration/decode_service.h"
#include "integration/engine.h"
#include "integration/peer_table.h"
#include "integration/prefill_service.h"
#include "integration/request_service.h"
#include "integration/store.h"
#include "transport/asio_loop.h"
#include "transport/endpoint.h"
#include "transport/tcp/tls.h"

namespace sluice::integration {

/// What a node is told. Defaults are those of a small test machine.
struct NodeOptions {
  std::string name = "node";
  transport::EndpointOptions endpoint;
  /// "host:port" of peers to keep connected.
  std::vector<std::string> peers;
  DataFabricOptions data;
  /// The certificate must carry `name`; node_name is not looked at.
  std::optional<transport::tcp::TlsOptions> tls;
  Bytes store{1ULL << 30U};
  Bytes planes{4ULL << 30U};
  std::uint32_t group_layers = 6;
  PartChoice parts;
  /// Profile file and its level for nested parts; empty = coded without a profile.
  CoderOptions coder;
  std::string policy = "sluice";
  BitsPerSecond nominal_rate{1'000'000'000};
  bool nominal_is_trusted = false;
  PartsPerMillion quality_floor{0};
  PartsPerMillion quality_target{1'000'000};
  Duration deadline = std::chrono::seconds(2);
  DecisionLogOptions decision_log;
};

/// What a node stands on; all must outlive it. `engine` may be null.
struct NodeParts {
  transport::asio::io_context& loop;
  const Clock& clock;
  EventSink& events;
  Engine* engine = nullptr;
};

/// Threads: the loop's.
class Node final : private transport::SessionHandler {
 public:
  /// Listens and begins to connect. Measures the codec (and the engine's prefill) for well under a second.
  /// Errors: those of Endpoint::open, of DecisionLog::create, of open_tls_fabric and of open_data_fabric.
  static Result<std::unique_ptr<Node>> open(const NodeOptions& options, const NodeParts& parts);
  ~Node() override;

  const std::string& listen_address() const { return endpoint_->listen_address(); }
  /// Every configured peer is connected, and we are not draining.
  bool ready() const;
  bool draining() const { return draining_; }
  void drain();
  /// Requests in either direction, and those that wait for the engine.
  std::size_t running_requests() const { return endpoint_->running_requests() + own_requests_; }
  /// `done` is called from the loop when no session is left; the node may be destroyed then.
  void async_close(std::function<void()> done);

  Bytes ring_used() const { return endpoint_->ring_used(); }
  Bytes ring_size() const { return options_.endpoint.ring; }
  nlohmann::json status() const;
  nlohmann::json links() const { return peers_->links(); }
  Store& store() { return store_; }

  void run_request(const nlohmann::json& body, Answer answer);
  /// What this node knows of a request, as receiver or as sender.
  nlohmann::json find_request(std::uint64_t request) const;

  /// Offers the stored prompt to the node at `address`; `done` once: when that node has it (kOk), will not, or has not
  /// within `deadline` (kDeadlineMissed).
  void announce(const std::string& address, const PrefixKey& key, Duration deadline, std::function<void(Error)> done);
  /// Fetches encoded KV of `tokens` from the node at `address` into the store.
  void fetch(const std::string& address, FetchSpec spec, FetchDone done);

 private:
  struct Announced;
  Node(const NodeOptions& options, const NodeParts& parts, UnitCoder coder);
  Result<void> start();
  Result<void> open_fabrics();
  transport::NodeIdentity identity() const;
  scheduler::PolicyOptions policy_options();
  /// A peer ended a request for this key: the oldest announce of it is answered.
  void on_sent(const PrefixKey& key, Error error);
  void end_announce(const Announced* announced, Error error);

  void on_up(transport::Session& session, const transport::Hello& remote) override;
  void on_down(transport::Session& session, Error error) override;
  void on_open(transport::Session& session, const transport::OpenRequest& request) override;
  void on_grant(transport::Session& session, const transport::GrantToken& token) override;
  void on_peer_done(transport::Session& session, RequestId request) override;
  void on_peer_aborted(transport::Session& session, RequestId request, Error error) override;
  void on_announce(transport::Session& session, const transport::Announce& announce) override;
  void on_accept(transport::Session& session, RequestId request, const transport::OpenAck& shape) override;
  void on_offer(transport::Session& session, const transport::Offer& offer) override;
  void on_part(transport::Session& session, UnitKey unit, Part part, transport::SlotHold hold) override;
  void on_sealed(transport::Session& session, RequestId request, Units units) override;
  void on_request_failed(transport::Session& session, RequestId request, Error error) override;
  void on_slots_free(transport::Session& session) override;
  void on_goaway(transport::Session& session) override;

  NodeOptions options_;
  NodeParts parts_;
  transport::AsioLoop loop_{parts_.loop};
  std::unique_ptr<transport::StreamFabric> stream_;
  std::unique_ptr<transport::DataFabric> data_;
  std::unique_ptr<transport::Endpoint> endpoint_;
  Store store_;
  UnitCoder coder_;
  std::unique_ptr<Worker> codec_worker_;
  std::unique_ptr<Worker> engine_worker_;
  std::unique_ptr<NodeContext> context_;
  std::unique_ptr<DecisionLog> decisions_;  // null when they are not kept
  std::unique_ptr<PrefillService> prefill_;
  std::unique_ptr<DecodeService> decode_;
  std::unique_ptr<RequestService> requests_;
  std::unique_ptr<PeerTable> peers_;
  std::multimap<PrefixKey, std::shared_ptr<Announced>> announced_;
  std::size_t own_requests_ = 0;
  Epoch epoch_;
  bool draining_ = false;
};

}  // namespace sluice::integration
