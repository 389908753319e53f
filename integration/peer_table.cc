#include "integration/peer_table.h"

#include <algorithm>

namespace sluice::integration {
namespace {

using nlohmann::json;

// A session that has lasted so long says that the failures before it are over.
constexpr Duration kSteady = std::chrono::seconds(2);

const Error kNobody{ErrorCode::kUnreachable, 0, "no such peer is connected"};

bool is_peers_fault(ErrorCode code) {
  return code == ErrorCode::kDigestMismatch || code == ErrorCode::kProtocolViolation || code == ErrorCode::kIo ||
         code == ErrorCode::kTransportFailed || code == ErrorCode::kEngineFailed;
}

// Says nothing of the peer: the loss is counted when the session ends, time may have been short from the start.
bool is_no_news(ErrorCode code) {
  return code == ErrorCode::kPeerLost || code == ErrorCode::kPeerSilent || code == ErrorCode::kDeadlineMissed ||
         code == ErrorCode::kAborted;
}

void add_session(json& row, const transport::Session& session) {
  const transport::PathInfo path = session.path();
  const transport::LinkSample link = session.link();
  row["peer"] = session.remote().identity.name;
  row["control"] = path.control;
  row["data"] = path.data;
  row["reason"] = path.reason;
  row["bits_per_second"] = link.rate.count();
  row["rtt_us"] = std::chrono::duration<double, std::micro>(link.rtt).count();
  row["received_bytes"] = link.received.count();
}

}  // namespace

/// A peer of the configuration.
struct PeerTable::Neighbour {
  std::string address;
  transport::Circuit circuit;
  transport::asio::steady_timer retry;
  transport::Session* session = nullptr;
  bool is_connecting = false;
  std::vector<UseSession> waiting{};  // for the next outcome of connecting
  Error refusal = kNobody;            // why it is not connected
  Instant up_since{};
};

PeerTable::PeerTable(const PeerTableParts& parts, const std::vector<std::string>& addresses, std::uint64_t seed)
    : parts_(parts) {
  for (const std::string& address : addresses) {
    neighbours_.push_back(std::make_unique<Neighbour>(
        Neighbour{address, transport::Circuit({}, seed++), transport::asio::steady_timer(parts.loop)}));
  }
}

PeerTable::~PeerTable() = default;

void PeerTable::connect_all() {
  for (const auto& neighbour : neighbours_) connect(*neighbour);
}

void PeerTable::close() {
  closing_ = true;
  for (const auto& neighbour : neighbours_) neighbour->retry.cancel();
}

bool PeerTable::is_whole() const {
  return std::all_of(neighbours_.begin(), neighbours_.end(),
                     [](const auto& neighbour) { return neighbour->session != nullptr; });
}

void PeerTable::connect(Neighbour& neighbour) {
  neighbour.is_connecting = true;
  neighbour.retry.cancel();
  parts_.endpoint.connect(neighbour.address, [this, &neighbour](Result<transport::Session*> outcome) {
    neighbour.is_connecting = false;
    connected(neighbour, outcome);
  });
}

void PeerTable::connected(Neighbour& neighbour, Result<transport::Session*> outcome) {
  if (outcome) {
    neighbour.session = *outcome;
    neighbour.up_since = parts_.clock.now();
  } else if (!closing_) {
    failed(neighbour, outcome.error());
  }
  std::vector<UseSession> waiting;
  waiting.swap(neighbour.waiting);
  for (const UseSession& use : waiting) use(outcome);
  if (!outcome) try_later(neighbour);
}

void PeerTable::failed(Neighbour& neighbour, Error error) {
  neighbour.refusal = error;
  const Instant now = parts_.clock.now();
  if (!neighbour.circuit.failed(now)) return;
  parts_.events.emit(CircuitOpened{PeerName(neighbour.address), error}, now);
}

void PeerTable::try_later(Neighbour& neighbour) {
  if (closing_) return;
  neighbour.retry.expires_after(std::max(neighbour.circuit.connect_at() - parts_.clock.now(), Duration(0)));
  neighbour.retry.async_wait([this, &neighbour](const boost::system::error_code& cancelled) {
    if (!cancelled && !closing_ && !neighbour.is_connecting && neighbour.session == nullptr) connect(neighbour);
  });
}

Result<transport::Session*> PeerTable::find(const std::string& peer) {
  Error refusal = kNobody;
  const Instant now = parts_.clock.now();
  for (const auto& neighbour : neighbours_) {
    transport::Session* session = neighbour->session;
    const bool is_meant =
        peer.empty() || peer == neighbour->address || (session != nullptr && peer == session->remote().identity.name);
    if (!is_meant) continue;
    if (session == nullptr) {
      refusal = neighbour->refusal;
    } else if (is_draining(*session)) {
      refusal = Error{ErrorCode::kDraining, 0, "the peer"};
    } else if (!neighbour->circuit.admit(now)) {
      refusal = Error{ErrorCode::kCircuitOpen, 0, "the peer"};
    } else {
      return session;
    }
  }
  for (const Connected& entry : connected_) {
    const bool is_meant = peer.empty() || peer == entry.session->remote().identity.name;
    if (!is_meant || neighbour_of(*entry.session) != nullptr) continue;
    if (!entry.is_draining) return entry.session;
    refusal = Error{ErrorCode::kDraining, 0, "the peer"};
  }
  return refusal;
}

void PeerTable::use_session(const std::string& address, UseSession use) {
  if (!address.empty()) {
    const Result<transport::Session*> session = find(address);
    if (session || session.error().code == ErrorCode::kDraining || session.error().code == ErrorCode::kCircuitOpen)
      return use(session);
  }
  const auto at = std::find_if(neighbours_.begin(), neighbours_.end(),
                               [&](const auto& neighbour) { return neighbour->address == address; });
  if (at == neighbours_.end()) return parts_.endpoint.connect(address, std::move(use));
  Neighbour& neighbour = **at;
  if (!neighbour.is_connecting && neighbour.circuit.state(parts_.clock.now()) == transport::CircuitState::kOpen)
    return use(Error{ErrorCode::kCircuitOpen, 0, "the peer"});
  neighbour.waiting.push_back(std::move(use));  // one session is enough
  if (!neighbour.is_connecting) connect(neighbour);
}

void PeerTable::on_up(transport::Session& session) { connected_.push_back({&session}); }

void PeerTable::on_down(transport::Session& session, Error error) {
  std::erase_if(connected_, [&](const Connected& entry) { return entry.session == &session; });
  Neighbour* neighbour = neighbour_of(session);
  if (neighbour == nullptr) return;
  neighbour->session = nullptr;
  if (closing_) return;
  if (parts_.clock.now() - neighbour->up_since >= kSteady) neighbour->circuit.succeeded();
  failed(*neighbour, error);
  try_later(*neighbour);
}

void PeerTable::on_goaway(transport::Session& session) {
  for (Connected& entry : connected_) {
    if (entry.session == &session) entry.is_draining = true;
  }
}

void PeerTable::on_served(transport::Session& session) {
  if (Neighbour* neighbour = neighbour_of(session)) neighbour->circuit.succeeded();
}

void PeerTable::on_failed(transport::Session& session, Error error) {
  Neighbour* neighbour = neighbour_of(session);
  if (neighbour == nullptr || is_no_news(error.code)) return;
  if (!is_peers_fault(error.code)) return neighbour->circuit.succeeded();
  failed(*neighbour, error);
}

PeerTable::Neighbour* PeerTable::neighbour_of(const transport::Session& session) const {
  const auto at = std::find_if(neighbours_.begin(), neighbours_.end(),
                               [&](const auto& neighbour) { return neighbour->session == &session; });
  return at == neighbours_.end() ? nullptr : at->get();
}

bool PeerTable::is_draining(const transport::Session& session) const {
  return std::any_of(connected_.begin(), connected_.end(),
                     [&](const Connected& entry) { return entry.session == &session && entry.is_draining; });
}

json PeerTable::row(const Neighbour& neighbour) const {
  const Instant now = parts_.clock.now();
  json row = {{"peer", ""},
              {"address", neighbour.address},
              {"circuit", transport::circuit_state_name(neighbour.circuit.state(now))},
              {"failures", neighbour.circuit.failures()}};
  if (neighbour.session != nullptr) {
    row["state"] = is_draining(*neighbour.session) ? "draining" : "up";
    add_session(row, *neighbour.session);
    return row;
  }
  const auto next = std::max(neighbour.circuit.connect_at() - now, Duration(0));
  row["state"] = neighbour.is_connecting ? "connecting" : "down";
  row["reason"] = error_name(neighbour.refusal.code);
  row["next_try_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(next).count();
  return row;
}

json PeerTable::links() const {
  json rows = json::array();
  for (const auto& neighbour : neighbours_) rows.push_back(row(*neighbour));
  for (const Connected& entry : connected_) {
    if (neighbour_of(*entry.session) != nullptr) continue;
    json incoming = {{"address", ""}, {"circuit", "closed"}, {"failures", 0}};
    incoming["state"] = entry.is_draining ? "draining" : "up";
    add_session(incoming, *entry.session);
    rows.push_back(std::move(incoming));
  }
  return rows;
}

}  // namespace sluice::integration
