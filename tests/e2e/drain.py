#!/usr/bin/env python3
"""A decode daemon with two prefill daemons: one drains, one dies and comes back. What the peers do about it, `sluice links` and the metrics say so,
and `sluice drain` ends with the pinned exit codes.  drain.py --program build/release/.../sluice"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from node_process import Timeout, find_program, poll  # noqa: E402
from two_daemons import REQUEST_SECONDS, SLOW_NS_PER_TOKEN, START_SECONDS, Broken, Daemon, check, configuration, prompt, transfer  # noqa: E402

TOO_LATE = 4


class Fleet:
    """p1 and p2 prefill, d1 decodes."""

    def __init__(self, program, **more):
        self.program, self.more = program, {"transport.prefer": "tcp", **more}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-drain-"))
        self.daemons = []

    def __enter__(self):
        try:
            self.p1, self.p2 = (self.start(name, "prefill") for name in ("p1", "p2"))
            self.d1 = self.start("d1", "decode", [self.p1.data, self.p2.data])
            poll(lambda: self.d1.ask("/readyz")[0] == 200, START_SECONDS, "d1 ready", 0.02)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for daemon in self.daemons:
            daemon.end()
        shutil.rmtree(self.folder)

    def start(self, name, role, peers=(), **more):
        daemon = Daemon(self.program, self.folder, name, configuration(name, role, peers, **{**self.more, **more}))
        self.daemons.append(daemon)
        daemon.wait_ready()
        return daemon

    def link(self, address):
        return next(row for row in json.loads(self.d1.ask("/v1/links")[1]) if row["address"] == address)

    def command(self, *words):
        return subprocess.run([self.program, *words], capture_output=True, text=True, timeout=REQUEST_SECONDS, check=False, stdin=subprocess.DEVNULL)


def request(fleet, facts, **body):
    return fleet.d1.run(**{"text": facts["text"], "generate": 8, "deadline_ms": 30000, "policy": "lossless", "mode": "handover", **body})[1]


def counted(daemon, metric):
    return float(re.search(rf"^{re.escape(metric)} (\S+)$", daemon.ask("/metrics")[1], re.MULTILINE).group(1))


def check_drain(fleet, facts):
    """What runs when a peer drains is delivered by it; what comes after goes to another, and `drain --wait` tells whether all has ended."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(request, fleet, facts, peer=fleet.p1.data)
        poll(lambda: json.loads(fleet.p1.ask("/v1/status")[1])["running_requests"] >= 1, START_SECONDS, "a running request")
        early = fleet.command("drain", "--node", fleet.p1.ready["admin"], "--wait", "1ms")
        poll(lambda: fleet.link(fleet.p1.data)["state"] == "draining", START_SECONDS, "d1 hears of the drain")
        answer = running.result(REQUEST_SECONDS)
    check(answer["outcome"] == "delivered", f"the running request: {answer}")
    check(early.returncode in (0, TOO_LATE) and len(early.stderr.splitlines()) == (early.returncode != 0), f"drain --wait 1ms: {early}")
    late = fleet.command("drain", "--node", fleet.p1.ready["admin"], "--wait", "30s")
    check(late.returncode == 0, f"drain --wait 30s: {late}")
    before = counted(fleet.p2, 'sluice_transfers_total{direction="send",peer="d1",transport="tcp",outcome="ok"}')
    transfer(fleet.d1, facts, mode="handover")
    sent = counted(fleet.p2, 'sluice_transfers_total{direction="send",peer="d1",transport="tcp",outcome="ok"}')
    check(sent == before + 1, "the next request did not go to the peer that does not drain")
    asked = request(fleet, facts, peer=fleet.p1.data)
    check(asked["outcome"] == "recomputed" and asked["reason"] == "draining", f"asked for the draining peer: {asked}")
    table = fleet.command("links", "--node", fleet.d1.ready["admin"])
    check(table.returncode == 0 and re.search(r"^p1 .* draining ", table.stdout, re.MULTILINE), f"links: {table}")


def check_circuit(fleet, facts):
    """A peer that dies is left alone after five failures in a row; once it is back one request closes the circuit."""
    address = fleet.p2.data
    fleet.p2.process.kill()
    row = poll(lambda: (row := fleet.link(address))["circuit"] != "closed" and row, START_SECONDS, "the circuit opens")
    check(row["state"] in ("down", "connecting") and row["failures"] >= 5 and row["reason"] == "unreachable", f"the row of a dead peer: {row}")
    check(counted(fleet.d1, 'sluice_circuits_opened_total{cause="unreachable"}') == 1, "the circuit is counted")
    check(any("circuit open peer" in line for line in fleet.d1.errors), "the circuit is in the log")
    fleet.start("p2", "prefill", **{"listen.data": address})
    poll(lambda: fleet.link(address)["state"] == "up", START_SECONDS, "d1 is joined to p2 again")
    transfer(fleet.d1, facts, mode="handover", peer="p2")
    check(fleet.link(address)["circuit"] == "closed", f"after a request: {fleet.link(address)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", help="sluice or a build folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    program = find_program("integration/programs/sluice", options.program)
    failures = []
    with Fleet(program, **{"engine.prefill_ns_per_token": SLOW_NS_PER_TOKEN}) as fleet:
        for case in (check_drain, check_circuit):
            try:
                case(fleet, prompt())
            except (Broken, Timeout, OSError, ValueError, KeyError, AttributeError, subprocess.SubprocessError) as broken:
                failures.append(f"{case.__doc__}: {type(broken).__name__}: {broken}")
    for failure in failures:
        print(failure, file=sys.stderr)
    print(json.dumps({"failed": len(failures)}) if options.json else f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
