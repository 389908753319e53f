// The peers of a node: those of its configuration, which it keeps connected, and those that connect to it. It answers
// which session a request may go to, and never one whose peer drains or has just failed again and again.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/event_sink.h"
#include "base/result.h"
#include "transport/asio.h"
#include "transport/circuit.h"
#include "transport/endpoint.h"

namespace sluice::integration {

/// What a PeerTable stands on; all must outlive it.
struct PeerTableParts {
  transport::asio::io_context& loop;
  const Clock& clock;
  EventSink& events;
  transport::Endpoint& endpoint;
};

/// Threads: the loop's.
class PeerTable {
 public:
  using UseSession = std::function<void(Result<transport::Session*>)>;

  /// `addresses`: "host:port" of peers to keep connected. `seed` spreads the times at which nodes try again.
  PeerTable(const PeerTableParts& parts, const std::vector<std::string>& addresses, std::uint64_t seed);
  ~PeerTable();

  void connect_all();
  /// Connects no more.
  void close();
  /// Whether every peer of the configuration is connected.
  bool is_whole() const;
  std::size_t sessions() const { return connected_.size(); }
  /// One row for each peer of the configuration and each other session: state, circuit, paths, measured link.
  nlohmann::json links() const;

  /// A session that takes requests; `peer` is an address of the configuration or a name, empty = any.
  /// Errors: kUnreachable, kDraining, kCircuitOpen, or what the last try to connect ended with.
  Result<transport::Session*> find(const std::string& peer);
  /// The same, connecting where nothing is connected yet; `use` is called once, now or later.
  void use_session(const std::string& address, UseSession use);

  // What the node hears of its sessions.
  void on_up(transport::Session& session);
  void on_down(transport::Session& session, Error error);
  void on_goaway(transport::Session& session);
  /// A request that went there was served to its end, or refused with reason.
  void on_served(transport::Session& session);
  /// A request that went there failed; only what is the peer's or the path's fault counts.
  void on_failed(transport::Session& session, Error error);

 private:
  struct Neighbour;
  struct Connected {
    transport::Session* session;
    bool is_draining = false;
  };

  void connect(Neighbour& neighbour);
  void connected(Neighbour& neighbour, Result<transport::Session*> outcome);
  void failed(Neighbour& neighbour, Error error);
  void try_later(Neighbour& neighbour);
  Neighbour* neighbour_of(const transport::Session& session) const;
  bool is_draining(const transport::Session& session) const;
  nlohmann::json row(const Neighbour& neighbour) const;

  PeerTableParts parts_;
  std::vector<std::unique_ptr<Neighbour>> neighbours_;
  std::vector<Connected> connected_;
  bool closing_ = false;
};

}  // namespace sluice::integration
