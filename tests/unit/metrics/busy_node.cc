#include "tests/unit/metrics/busy_node.h"

namespace sluice::metrics::testing_support {

CountersOptions example_options() {
  CountersOptions options;
  options.build = BuildInfo{"0.1.0", "1.13.1", "avx2", "1", ""};
  options.decision_choices = {"raw", "lossless", "base", "r1", "recompute", "complete"};
  options.decision_reasons = {"base_first", "bypass_raw", "deadline_infeasible", "target_reached"};
  return options;
}

void make_busy(EventSink& sink) {
  const PeerId peer(7);
  const RequestId request(42);
  const UnitKey unit{request, ChunkIndex(1), LayerGroupIndex(2)};
  const Error refused{ErrorCode::kDigestMismatch, 0, "unit digest"};
  const Instant now(Duration(1'000'000));
  const Event events[] = {SessionUp{peer, "tcp", "not the same host", "ucx", PeerName("prefill-1")},
                          HandshakeRefused{PeerId(8), Error{ErrorCode::kIncompatibleModel, 0, "handshake"}, "model"},
                          RequestOpened{request, peer, Side::kReceive, Instant(Duration(2'000'000'000))},
                          UnitOffered{unit, Side::kReceive},
                          Decided{request, "base", "base_first", Duration(900'000'000)},
                          UnitGranted{unit, Part::kBase, Side::kReceive, SlotIndex(3), Generation(9)},
                          UnitRefused{unit, Part::kBase, peer, refused},
                          LeaseExpired{peer, SlotIndex(3), Generation(9)},
                          UnitMoved{unit, Part::kBase, peer, Side::kReceive, Bytes(1000), Bytes(8000)},
                          UnitDecoded{unit, Part::kBase},
                          UnitMoved{unit, Part::kRefinement1, peer, Side::kReceive, Bytes(500), Bytes(8000)},
                          RequestSealed{request, Side::kReceive, Units(1)},
                          StepTimed{request, Step::kWire, Duration(40'000'000)},
                          StepTimed{request, Step::kDecode, Duration(4'000'000)},
                          SlotReleased{SlotIndex(3), Generation(10)},
                          LinkMeasured{peer, BitsPerSecond(80'000'000), Duration(2'000'000)},
                          Predicted{"wire", Duration(30), Duration(40)},
                          RequestEnded{request, peer, Side::kReceive, Error{}, Duration(50'000'000), Duration(-1)},
                          FellBack{RequestId(43), "deadline_infeasible"},
                          CircuitOpened{PeerName("10.0.0.2:7411"), Error{ErrorCode::kUnreachable, 0, "connect"}},
                          SessionDown{peer, Error{ErrorCode::kPeerSilent, 0, "heartbeat"}}};
  for (const Event& event : events) sink.emit(event, now);
}

}  // namespace sluice::metrics::testing_support
