// The closed list of what can happen in a node. The estimator, the exporter, the log, the flight recorder and tests
// that inject faults all read these same events; a library never logs. Whoever first decides that something happened
// emits it, once; callers only pass results on.
#pragma once

#include <string_view>
#include <variant>

#include "base/clock.h"
#include "base/error.h"
#include "base/identity.h"
#include "base/peer_name.h"
#include "base/quantity.h"

namespace sluice {

enum class Side : std::uint8_t { kSend, kReceive };
enum class Step : std::uint8_t { kQueue, kGather, kEncode, kWire, kVerify, kDecode, kInject, kPrefill };

/// A session with a peer was established: `transport` names what carries its units, `reason` why, `wanted` what this
/// node was told to prefer, and `name` is what the peer calls itself.
struct SessionUp {
  PeerId peer;
  std::string_view transport;
  std::string_view reason;
  std::string_view wanted;
  PeerName name;
};
struct SessionDown {
  PeerId peer;
  Error error;
};
/// A handshake was refused; `field` names the first field that differs.
struct HandshakeRefused {
  PeerId peer;
  Error error;
  std::string_view field;
};
struct RequestOpened {
  RequestId request;
  PeerId peer;
  Side side;
  Instant deadline;
};
/// The planner decided; `reason` is a pinned reason code's name.
struct Decided {
  RequestId request;
  std::string_view choice;
  std::string_view reason;
  Duration slack;
};
struct UnitOffered {
  UnitKey unit;
  Side side;
};
struct UnitGranted {
  UnitKey unit;
  Part part;
  Side side;
  SlotIndex slot;
  Generation generation;
};
/// A unit's payload went out or came in; `raw` is the size of the same rows as the engine holds them.
struct UnitMoved {
  UnitKey unit;
  Part part;
  PeerId peer;
  Side side;
  Bytes wire;
  Bytes raw;
};
/// A unit was refused before decode: digest, generation, length. It will be granted again or given up.
struct UnitRefused {
  UnitKey unit;
  Part part;
  PeerId peer;
  Error error;
};
struct UnitDecoded {
  UnitKey unit;
  Part part;
};
struct RequestSealed {
  RequestId request;
  Side side;
  Units units;
};
struct StepTimed {
  RequestId request;
  Step step;
  Duration duration;
};
/// Exactly once per request and side. `error.code` is kOk on success.
struct RequestEnded {
  RequestId request;
  PeerId peer;
  Side side;
  Error error;
  Duration duration;
  Duration slack;
};
/// The request goes on without the peer's KV: the engine computes it itself.
struct FellBack {
  RequestId request;
  std::string_view cause;
};
/// A peer of the configuration, by its address, has failed so often in a row that nothing is asked of it for a while.
struct CircuitOpened {
  PeerName peer;
  Error error;
};
struct SlotReleased {
  SlotIndex slot;
  Generation generation;
};
struct LeaseExpired {
  PeerId peer;
  SlotIndex slot;
  Generation generation;
};
struct LinkMeasured {
  PeerId peer;
  BitsPerSecond rate;
  Duration rtt;
};
/// `predicted` against what came, for the scheduler's honesty.
struct Predicted {
  std::string_view what;
  Duration predicted;
  Duration actual;
};

using Event = std::variant<SessionUp, SessionDown, HandshakeRefused, RequestOpened, Decided, UnitOffered, UnitGranted,
                           UnitMoved, UnitRefused, UnitDecoded, RequestSealed, StepTimed, RequestEnded, FellBack,
                           CircuitOpened, SlotReleased, LeaseExpired, LinkMeasured, Predicted>;

}  // namespace sluice
