#!/usr/bin/env python3
"""How fast a decode node sees that its peer is gone, and has its slots back: real processes, a hand-over under way, the fault at a random moment.

kill: SIGKILL of the prefill process until the decode node's SessionDown. partition: a forwarder between them passes nothing on from a moment on, in either
direction. back: from the fault until the decode node holds no leased byte. Times are taken where this program reads the decode
node's lines, so they are above the node's own.  recovery.py --rounds 100 [--json]"""

import argparse
import json
import math
import pathlib
import random
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from forwarder import Forwarder  # noqa: E402
from node_process import NodeProcess, Timeout, find_program, poll  # noqa: E402

PROMPT = [(7 * at + at // 5) % 1000 for at in range(512)]
PACE_US = 2000  # about 100 ms for the prompt
UNDER_WAY_SECONDS = 0.08
PATIENCE_SECONDS = 20.0


class Stage:
    """Starts two nodes for each round, joined directly or through a forwarder."""

    def __init__(self, program, seed):
        self.program, self.random, self.run_id = program, random.Random(seed), uuid.uuid4().hex

    def start(self, name, **settings):
        node = NodeProcess(self.program, self.run_id, name=name, pace_us=PACE_US, **settings)
        return node, node.address(PATIENCE_SECONDS)

    def play(self, kind):
        """(milliseconds until seen, milliseconds until the slots are back) of one round."""
        prefill, address = self.start("prefill", listen="127.0.0.1:0")
        link = Forwarder(address)
        decode, _ = self.start("decode", peers=[link.address if kind == "partition" else address])
        try:
            poll(lambda: decode.status()["status"]["sessions"] >= 1, PATIENCE_SECONDS, "session")
            decode.start_request(tokens=PROMPT, generate=8, mode="handover", deadline_ms=10000)
            poll(lambda: decode.status()["events"].get("UnitMoved", 0) > 0, PATIENCE_SECONDS, "the first unit", 0.001)
            wait = time.monotonic() + self.random.uniform(0, UNDER_WAY_SECONDS)
            while time.monotonic() < wait:
                pass
            start = time.monotonic()
            if kind == "kill":
                prefill.process.kill()
            else:
                link.stall()
            line = decode.wait_line(lambda line: line.get("event") == "SessionDown", PATIENCE_SECONDS, "SessionDown")
            seen = time.monotonic()
            if line is None:
                raise Timeout("the decode node died")
            poll(lambda: decode.status()["status"]["ring_used_bytes"] == 0, PATIENCE_SECONDS, "slots back", 0.001)
            return 1000 * (seen - start), 1000 * (time.monotonic() - start)
        finally:
            for node in (decode, prefill):
                node.kill()
            link.close()


def p99(values):
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def figures(values):
    ordered = sorted(values)
    return {"p50": round(ordered[len(ordered) // 2], 1), "p99": round(p99(values), 1), "max": round(ordered[-1], 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", help="the fault_node program, or a build folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    program = find_program("tests/support/fault_node", options.program)
    stage = Stage(program, options.seed)
    told, backs = {"rounds": options.rounds}, []
    for kind in ("kill", "partition"):
        rounds = [stage.play(kind) for _ in range(options.rounds)]
        told[f"{kind}_seen_ms"] = figures([seen for seen, _ in rounds])
        told[f"{kind}_back_ms"] = figures([back for _, back in rounds])
        backs += [back for _, back in rounds]
    told["slots_back_ms"] = figures(backs)
    for name, row in told.items():
        if not options.json:
            print(f"{name:18} {row}")
    if options.json:
        print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
