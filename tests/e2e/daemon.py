#!/usr/bin/env python3
"""One `sluice serve` that takes the recorded KV from `sluice send` many times: memory and handles stay flat, /metrics pass promtool, exit codes
are the pinned ones, and SIGTERM drains to exit 0.  daemon.py --program build/release/.../sluice [--transfers 1000] [--json]"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from node_process import Timeout, poll  # noqa: E402

# Resident memory may move by an allocator's slack, never by a leak of one unit (about 1 MB) per transfer.
MOST_GROWTH_KIB = 16 * 1024
WARM_UP = 20
# A daemon hears of a sender's end after the sender has ended: this long it may take to give the handle of their session back.
SETTLE_SECONDS = 5.0
LISTEN = "0A"  # of /proc/net/tcp, where 127.0.0.1 is 0100007F
LOOPBACK = re.compile(r"[0-9A-F]{2}00007F:[0-9A-F]{4}")


class Daemon:
    """A running `sluice serve` on free ports."""

    def __init__(self, program):
        self.program = program
        self.process = subprocess.Popen([program, "serve", "--set", "listen.data=127.0.0.1:0", "--set", "listen.admin=127.0.0.1:0"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        ready = self.process.stdout.readline()
        found = re.fullmatch(r"sluice: ready data=(\S+) admin=(\S+) engine=none kernels=\S+\n", ready)
        if not found:
            raise AssertionError(f"no ready line: {ready!r}")
        self.data, self.admin = found.groups()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=10) as answer:
            return answer.read().decode()

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def handles(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def listeners(self):
        """Addresses at which the process listens, as the kernel lists them."""
        inodes = set()
        for name in os.listdir(f"/proc/{self.process.pid}/fd"):
            try:
                inodes.add(os.readlink(f"/proc/{self.process.pid}/fd/{name}"))
            except FileNotFoundError:
                continue  # closed meanwhile
        found = []
        for table in ("tcp", "tcp6"):
            for line in pathlib.Path(f"/proc/{self.process.pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                words = line.split()
                if words[3] == LISTEN and f"socket:[{words[9]}]" in inodes:
                    found.append(words[1])
        return found

    def send(self, repeat, address=None):
        return subprocess.run([self.program, "--format", "json", "send", "--to", address or self.data, "recorded", "--deadline", "10s",
                               "--repeat", str(repeat)], capture_output=True, text=True, timeout=150, check=False)


def closed_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def check(daemon, transfers):
    """Raises on the first broken law; returns what was measured."""
    listeners = daemon.listeners()
    beyond = [address for address in listeners if not LOOPBACK.fullmatch(address)]
    assert len(listeners) == 2 and not beyond, f"listens at {listeners}"
    idle_handles = daemon.handles()
    warm = daemon.send(WARM_UP)
    assert warm.returncode == 0, warm.stderr
    before = daemon.resident_kib()
    ran = daemon.send(transfers)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["delivered"] == transfers, ran.stdout
    after = daemon.resident_kib()
    assert after - before <= MOST_GROWTH_KIB, f"resident memory grew from {before} to {after} KiB"
    try:
        poll(lambda: daemon.handles() <= idle_handles, SETTLE_SECONDS, f"handles back to the {idle_handles} before any transfer")
    except Timeout as late:
        raise AssertionError(f"{late}, there are {daemon.handles()}") from late
    status = json.loads(daemon.get("/v1/status"))
    assert status["store_prompts"] == 1 and status["ring_used_bytes"] == 0, status
    metrics = daemon.get("/metrics")
    assert "sluice_transfers_total" in metrics
    if shutil.which("promtool"):
        linted = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True, check=False)
        assert linted.returncode == 0 and not linted.stderr, linted.stderr
    unreachable = daemon.send(1, closed_address())
    assert unreachable.returncode == 3 and len(unreachable.stderr.splitlines()) == 1, unreachable.stderr
    taken = subprocess.run([daemon.program, "serve", "--set", f"listen.data={daemon.data}", "--set", "listen.admin="],
                           capture_output=True, text=True, timeout=30, check=False)
    assert taken.returncode != 0 and len(taken.stderr.splitlines()) == 1, taken.stderr
    return {"transfers": transfers, "listeners": len(listeners), "listeners_beyond_loopback": len(beyond), "resident_kib": [before, after], "handles": [idle_handles, daemon.handles()],
            "mean_ms": json.loads(ran.stdout)["mean_ms"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="build/release/integration/programs/sluice")
    parser.add_argument("--transfers", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    daemon = Daemon(options.program)
    try:
        measured = check(daemon, options.transfers)
        daemon.process.send_signal(signal.SIGTERM)
        code = daemon.process.wait(timeout=20)
        assert code == 0, f"SIGTERM ended it with {code}"
    except AssertionError as broken:
        print(f"daemon: {broken}", file=sys.stderr)
        return 1
    finally:
        daemon.process.kill()
        daemon.process.wait()
    print(json.dumps(measured) if options.json else f"{measured}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
