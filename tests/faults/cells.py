"""The fault matrix as data: which process dies or freezes at which event, or what the link does, and what must come of it.

Each cell is one hand-over of 511 tokens in 16 units from a prefill node to a decode node. The seed of a repetition moves the
fault (which unit, which byte, which bit), so that repetitions are not copies."""

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from forwarder import Fault  # noqa: E402

UNITS = 16
LOST = {"peer_lost", "peer_silent", "unreachable"}
CORRUPT = {"digest_mismatch", "bad_magic"}
DELIVERED, RECOMPUTED = "delivered", "recomputed"


@dataclasses.dataclass
class Cell:
    """`outcomes` maps each allowed outcome to the error codes that it may name. `victim` is who dies (or, with `is_frozen`,
    stops) at the `event`; `fault` makes the link's fault of a random generator."""
    name: str
    outcomes: dict
    victim: str = ""
    event: str = ""
    last: int = 1  # the fault comes at a random one of the first `last` such events
    is_frozen: bool = False
    fault: object = None
    rate_bits: int = 0
    decode: dict = dataclasses.field(default_factory=dict)
    prefill: dict = dataclasses.field(default_factory=dict)
    body: dict = dataclasses.field(default_factory=dict)
    deadline_ms: int = 1500
    evidence: object = None  # of a run: a sentence that proves the fault, or "" when it did not happen
    is_joined: bool = True  # the nodes get a session before the request
    recovers: bool = True  # afterwards the survivors must serve a request


def at_units(name, victim, event, outcomes, is_frozen=False):
    return Cell(name, outcomes, victim, event, last=12, is_frozen=is_frozen)


def death_cells():
    """kill -9 of each side at each state of the protocol; freezing at the states where bytes are under way."""
    lost = {RECOMPUTED: LOST}
    late = {RECOMPUTED: LOST, DELIVERED: {"ok"}}
    yield Cell("kill-prefill-at-session-up", lost, "prefill", "SessionUp", is_joined=False)
    yield Cell("kill-prefill-at-request-opened", lost, "prefill", "RequestOpened")
    yield at_units("kill-prefill-at-unit-offered", "prefill", "UnitOffered", lost)
    yield at_units("kill-prefill-at-unit-granted", "prefill", "UnitGranted", lost)
    yield at_units("kill-prefill-at-unit-moved", "prefill", "UnitMoved", lost)
    yield Cell("kill-prefill-at-sealed", late, "prefill", "RequestSealed")
    yield Cell("kill-prefill-at-ended", {DELIVERED: {"ok"}}, "prefill", "RequestEnded")
    yield Cell("kill-decode-at-session-up", {}, "decode", "SessionUp", is_joined=False)
    yield Cell("kill-decode-at-request-opened", {}, "decode", "RequestOpened")
    yield at_units("kill-decode-at-unit-offered", "decode", "UnitOffered", {})
    yield at_units("kill-decode-at-unit-granted", "decode", "UnitGranted", {})
    yield at_units("kill-decode-at-unit-moved", "decode", "UnitMoved", {})
    yield at_units("kill-decode-at-unit-decoded", "decode", "UnitDecoded", {})
    yield Cell("kill-decode-at-sealed", {}, "decode", "RequestSealed")
    yield Cell("kill-decode-at-ended", {}, "decode", "RequestEnded")
    yield Cell("freeze-prefill-at-request-opened", lost, "prefill", "RequestOpened", is_frozen=True)
    yield at_units("freeze-prefill-at-unit-granted", "prefill", "UnitGranted", lost, True)
    yield at_units("freeze-prefill-at-unit-moved", "prefill", "UnitMoved", lost, True)
    yield Cell("freeze-decode-at-request-opened", {}, "decode", "RequestOpened", is_frozen=True)
    yield at_units("freeze-decode-at-unit-granted", "decode", "UnitGranted", {}, True)
    yield at_units("freeze-decode-at-unit-moved", "decode", "UnitMoved", {}, True)


def on_frame(kind, direction, frame, part="payload", last=12, repeat=1):
    """A fault in a random one of the first `last` frames of a type, at a random byte and bit."""
    return lambda random: Fault(kind, direction, random.randrange(1 << 20), frame, random.randint(1, last), part, random.randrange(8), repeat)


def refused(run, code):
    """The decode node's word for having refused a unit with this code."""
    count = sum(line["error"] == code for line in run.decode.events("UnitRefused"))
    return f"{count} unit{'s' * (count != 1)} refused: {code}" if count else ""


def in_flight(run):
    count = len(run.link.happened)
    return run.link.happened[0] + (f" and {count - 1} more" if count > 1 else "") if count else ""


def in_flight_and_refused(run):
    told = refused(run, "digest_mismatch")
    return in_flight(run) and told and f"{in_flight(run)}; {told}"


def link_cells():
    """A bit flipped in flight, a stalled and a cut link, a link that is too slow."""
    corrupt, lost = {RECOMPUTED: CORRUPT | LOST}, {RECOMPUTED: LOST}
    yield Cell("flip-unit-payload", {DELIVERED: {"ok"}}, fault=on_frame("flip", "down", "data"), evidence=in_flight_and_refused)
    yield Cell("flip-unit-payload-always", {RECOMPUTED: CORRUPT}, fault=on_frame("flip", "down", "data", last=8, repeat=1000),
               evidence=in_flight_and_refused)
    yield Cell("flip-unit-header", corrupt, fault=on_frame("flip", "down", "data", "header"), evidence=in_flight)
    yield Cell("flip-offer", corrupt, fault=on_frame("flip", "down", "offer"), evidence=in_flight)
    yield Cell("flip-accept", corrupt, fault=on_frame("flip", "down", "open_ack", last=1), evidence=in_flight)
    yield Cell("flip-seal", {RECOMPUTED: CORRUPT | LOST, DELIVERED: {"ok"}}, fault=on_frame("flip", "down", "seal", last=1), evidence=in_flight)
    yield Cell("flip-open", corrupt, fault=on_frame("flip", "up", "open", last=1), evidence=in_flight)
    yield Cell("flip-grant", corrupt, fault=on_frame("flip", "up", "grant"), evidence=in_flight)
    yield Cell("flip-grant-header", corrupt, fault=on_frame("flip", "up", "grant", "header"), evidence=in_flight)
    yield Cell("flip-greeting", {DELIVERED: {"ok"}}, fault=on_frame("flip", "up", "hello", last=1), evidence=in_flight)
    for kind in ("stall", "cut"):
        yield Cell(f"{kind}-in-unit", lost, fault=on_frame(kind, "down", "data"), evidence=in_flight)
        yield Cell(f"{kind}-in-offer", lost, fault=on_frame(kind, "down", "offer", "header"), evidence=in_flight)
        yield Cell(f"{kind}-in-grant", lost, fault=on_frame(kind, "up", "grant", "header"), evidence=in_flight)
    yield Cell("link-too-slow", {RECOMPUTED: {"deadline_missed", "aborted"}}, rate_bits=2_000_000, deadline_ms=1000, evidence=lambda run: "2 Mbit/s")


def wrong_model(run):
    fields = {line["field"] for node in (run.prefill, run.decode) for line in node.events("HandshakeRefused")}
    return f"handshake refused by field {' '.join(sorted(fields))}" if "model" in fields else ""


def few_slots(run):
    counts = run.decode.status()["events"]
    is_full = counts.get("slots_seen", 0) <= 2 and counts.get("UnitMoved", 0) >= UNITS
    return f"{counts.get('UnitMoved')} units through {counts.get('slots_seen')} slots" if is_full else ""


def no_room(run):
    counts = run.decode.status()["events"]
    return "" if counts.get("UnitMoved") else f"{counts.get('UnitOffered', 0)} units offered, none fits"


def resource_cells():
    """A wrong model, a full ring, a prompt that is not there."""
    yield Cell("wrong-model", {RECOMPUTED: {"unreachable", "incompatible_model"}}, decode={"model_seed": 2}, evidence=wrong_model, is_joined=False,
               recovers=False)
    yield Cell("full-ring", {DELIVERED: {"ok"}}, decode={"slots": 2, "ring_bytes": 262144}, evidence=few_slots)
    yield Cell("ring-below-a-unit", {RECOMPUTED: {"no_slot", "bad_length"}}, decode={"slots": 4, "ring_bytes": 32768},
               evidence=no_room, recovers=False)
    yield Cell("reuse-of-nothing", {RECOMPUTED: {"not_found"}}, body={"mode": "reuse"}, evidence=lambda run: "nothing is stored")


def all_cells():
    return [*death_cells(), *link_cells(), *resource_cells()]
