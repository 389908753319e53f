#!/usr/bin/env python3
"""The fault matrix on real processes: two nodes, one fault, and what must hold afterwards.

Of every cell, in every repetition:
  1. the fault happened (the dead process's last word and its exit signal, the link's note, the refused unit);
  2. the request was answered by its deadline + 1 heartbeat (100 ms) + SLACK for this machine's scheduling and for recomputing;
  3. the outcome is one that the cell allows, with a typed error; the tokens are those of the reference: nothing wrong was published;
  4. survivors have 0 running requests, 0 leased bytes and no more file handles than before, within a second;
  5. survivors then serve a request, whole, through a new peer or session; they end with exit code 0; no process is left.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from cells import DELIVERED, all_cells  # noqa: E402
from forwarder import Forwarder  # noqa: E402
from node_process import NodeProcess, Timeout, find_program, poll, processes_of  # noqa: E402

PROMPT = [(7 * at + at // 5) % 1000 for at in range(512)]
HEARTBEAT_SECONDS = 0.1
SLACK_SECONDS = 0.5  # two cores shared with the other cells; recomputing takes about 0.1 s of it
SETTLE_SECONDS = 1.0
START_SECONDS = 20.0
PACE_US = 1000  # 48 ms for the prompt
UCX_FIRST_PEER_HANDLES = 2  # UCX opens them when it meets its first peer, once; they stay the same over any number of peers


class Broken(Exception):
    """A promise that did not hold."""


def check(condition, text):
    if not condition:
        raise Broken(text)


class Run:
    """One repetition of one cell."""

    def __init__(self, cell, seed, program, transport="tcp"):
        self.cell, self.program, self.transport = cell, program, transport
        self.random = random.Random(f"{cell.name} {seed}")
        self.run_id = uuid.uuid4().hex
        self.prefill = self.decode = self.link = None
        self.spare = []
        self.took_ms = 0.0
        self.result = ""

    def start(self, name, **settings):
        node = NodeProcess(self.program, self.run_id, name=name, pace_us=PACE_US, transport=self.transport, **settings)
        self.spare.append(node)
        return node

    def fault_of(self, side):
        cell = self.cell
        if cell.victim != side:
            return {}
        return {"fault": {"event": cell.event, "count": self.random.randint(1, cell.last), "signal": "STOP" if cell.is_frozen else "KILL"}}

    def request(self, node, seconds, **body):
        """The answer of a request; None when the node died over it."""
        number = node.start_request(**{"tokens": PROMPT, "generate": 8, **body})
        return node.wait_answer(number, seconds)

    def reference(self, node):
        line = self.request(node, START_SECONDS, mode="recompute")
        check(line and line["answer"]["outcome"] == "recomputed", f"no reference: {line}")
        return line["answer"]["tokens"]

    def join(self):
        cell = self.cell
        self.prefill = self.start("prefill", listen="127.0.0.1:0", **self.fault_of("prefill"), **cell.prefill)
        address = self.prefill.address(START_SECONDS)
        self.tokens = self.reference(self.prefill)
        fault = cell.fault(self.random) if cell.fault else None
        self.link = Forwarder(address, fault, cell.rate_bits)
        peer = self.link.address if fault or cell.rate_bits else address
        self.decode = self.start("decode", peers=[peer], **self.fault_of("decode"), **cell.decode)
        self.decode.address(START_SECONDS)
        if cell.decode.get("model_seed"):
            self.tokens = self.reference(self.decode)
        if cell.is_joined:
            self.wait_joined(self.decode)

    def wait_joined(self, node):
        poll(lambda: (node.status() or {"status": {"sessions": 0}})["status"]["sessions"] >= 1, START_SECONDS, "session", 0.01)

    def strike(self):
        """The request under the fault."""
        cell = self.cell
        self.handles = {node: node.handles() for node in (self.prefill, self.decode) if node.process.poll() is None}
        limit = cell.deadline_ms / 1000 + HEARTBEAT_SECONDS + SLACK_SECONDS
        if cell.victim == "decode":
            if cell.is_joined:
                self.decode.start_request(**{"tokens": PROMPT, "generate": 8, "deadline_ms": cell.deadline_ms, **cell.body})
            poll(self.decode.fault_line, limit, "the decode node's fault")
            return
        if not cell.is_joined and cell.victim:
            poll(self.prefill.fault_line, limit, "the prefill node's fault")
        started = time.monotonic()
        line = self.request(self.decode, limit + 2.0, deadline_ms=cell.deadline_ms, **cell.body)
        took = time.monotonic() - started
        check(line, "the decode node died over the request")
        self.took_ms = 1000 * took
        self.judge(line["answer"])
        check(took <= limit, f"answered after {took:.3f} s, {limit:.3f} s are allowed")

    def judge(self, answer):
        self.result = f"{answer['outcome']} {answer['error']}"
        allowed = self.cell.outcomes
        check(answer["outcome"] in allowed, f"outcome {self.result} ({answer.get('reason')}), allowed are {sorted(allowed)}")
        check(answer["error"] in allowed[answer["outcome"]], f"error {self.result}, allowed are {sorted(allowed[answer['outcome']])}")
        check(answer["tokens"] == self.tokens, f"WRONG TOKENS published: {answer['tokens']} for {self.tokens}")

    def prove(self):
        """The fault happened; returns what says so."""
        cell = self.cell
        if not cell.victim:
            told = cell.evidence(self)
            check(told, "no proof that the fault happened")
            return told
        victim = self.prefill if cell.victim == "prefill" else self.decode
        line = poll(victim.fault_line, SETTLE_SECONDS, "the victim's last word")
        if cell.is_frozen:
            poll(victim.is_frozen, SETTLE_SECONDS, "the victim's freezing")
            return f"frozen at {line['fault']} {line['count']}"
        code = victim.process.wait(SETTLE_SECONDS)
        check(code == -9, f"the victim ended with {code}")
        return f"killed at {line['fault']} {line['count']}"

    def settle(self, node):
        """A survivor has given back what the request took."""
        def is_quiet():
            status = node.status()
            check(status, f"{node.settings['name']} died too: {node.errors.decode(errors='replace')[-300:]}")
            last.append(status["status"])
            return status["status"]["running_requests"] == 0 and status["status"]["ring_used_bytes"] == 0
        last = []
        try:
            poll(is_quiet, SETTLE_SECONDS, "", 0.02)
        except Timeout as late:
            raise Broken(f"{node.settings['name']} keeps {last[-1]['running_requests']} requests, {last[-1]['ring_used_bytes']} leased bytes") from late
        allowed = self.handles[node] + (UCX_FIRST_PEER_HANDLES if self.transport == "ucx" and not self.cell.is_joined else 0)
        try:
            poll(lambda: node.handles() <= allowed, SETTLE_SECONDS, "", 0.02)
        except Timeout as late:
            raise Broken(f"{node.settings['name']} has {node.handles()} handles, {allowed} are allowed") from late

    def recover(self, survivors):
        """The survivors serve again: a new peer for a dead one, a new session where the link failed."""
        cell = self.cell
        prefill, decode = self.prefill, self.decode
        self.link.heal()
        if cell.is_frozen:
            victim = prefill if cell.victim == "prefill" else decode
            victim.kill()
        if cell.victim == "prefill":
            address = decode.settings["peers"][0]
            prefill = self.start("prefill again", listen=address)
            prefill.address(START_SECONDS)
            survivors.append(prefill)
        elif cell.victim == "decode":
            decode = self.start("decode again", peers=[prefill.lines[0]["ready"]])
            decode.address(START_SECONDS)
            survivors.append(decode)
        self.wait_joined(decode)
        line = self.request(decode, START_SECONDS, deadline_ms=10000, mode="handover")
        check(line and line["answer"]["outcome"] == DELIVERED, f"afterwards no delivery: {line and (line['answer']['outcome'], line['answer']['error'])}")
        check(line["answer"]["tokens"] == self.tokens, "afterwards WRONG TOKENS")

    def play(self):
        """Returns the proof that the fault happened. Raises Broken or Timeout."""
        self.join()
        self.strike()
        proof = self.prove()
        survivors = [node for node, side in ((self.prefill, "prefill"), (self.decode, "decode")) if side != self.cell.victim]
        for node in survivors:
            self.settle(node)
        if self.cell.recovers and not self.cell.rate_bits:
            self.recover(survivors)
        for node in reversed(survivors):
            code = node.close()
            check(code == 0, f"{node.settings['name']} ended with {code}: {node.errors.decode(errors='replace')[-300:]}")
        return proof

    def clean(self):
        for node in self.spare:
            if node.process.poll() is None:
                node.kill()
            else:
                node.tidy()
        if self.link:
            self.link.close()
        poll(lambda: not processes_of(self.run_id), SETTLE_SECONDS, "the end of all processes")


def play(cell, seed, program, transport):
    """(proof or what broke, whether it passed, milliseconds, result)"""
    run = Run(cell, seed, program, transport)
    passed = True
    try:
        text = run.play()
    except (Broken, Timeout) as failure:
        text, passed = f"repetition {seed}: {failure}", False
    except Exception as failure:  # a bug of this program is a failed cell too, and must not hide the others
        text, passed = f"repetition {seed}: {type(failure).__name__}: {failure}", False
    try:
        run.clean()
    except Timeout as failure:
        text, passed = f"repetition {seed}: {failure}", False
    return text, passed, run.took_ms, run.result


def report(cell, outcomes, as_json):
    passed = sum(outcome[1] for outcome in outcomes)
    results = collections.Counter(outcome[3] for outcome in outcomes if outcome[3])
    text = next((outcome[0] for outcome in outcomes if not outcome[1]), outcomes[0][0])
    slowest = max(outcome[2] for outcome in outcomes)
    if not as_json:
        answers = ", ".join(f"{name} x{count}" if len(outcomes) > 1 else name for name, count in results.most_common()) or "-"
        print(f"{'ok  ' if passed == len(outcomes) else 'FAIL'} {cell.name:34} {passed:2}/{len(outcomes):<2} {slowest:6.0f} ms  {answers:36} {text}", flush=True)
    return {"name": cell.name, "passed": passed, "slowest_ms": round(slowest, 1), "results": dict(results), "text": text}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--cell", action="append", help="only this cell; may be given more than once")
    parser.add_argument("--list", action="store_true", help="print the cells' names")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1)), help="repetitions at the same time")
    parser.add_argument("--program", help="the fault_node program, or a build folder")
    parser.add_argument("--transport", choices=("tcp", "ucx", "shm"), default="tcp",
                        help="what units go over; beside tcp only the cells in which a process dies, freezes or lacks room")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    cells = [cell for cell in all_cells() if not options.cell or cell.name in options.cell]
    if options.transport != "tcp":
        cells = [cell for cell in cells if not cell.fault and not cell.rate_bits]
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return 0
    if options.cell and len(cells) != len(set(options.cell)):
        parser.error(f"unknown cell among {options.cell}: see --list")
    program = find_program("tests/support/fault_node", options.program)
    rows = []
    seeds = range(options.first_seed, options.first_seed + options.repeat)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = [(cell, [pool.submit(play, cell, seed, program, options.transport) for seed in seeds]) for cell in cells]
        for cell, futures in running:
            rows.append(report(cell, [future.result() for future in futures], options.json))
    passed = sum(row["passed"] == options.repeat for row in rows)
    if options.json:
        print(json.dumps({"cells": len(rows), "passed": passed, "failed": len(rows) - passed, "repeats": options.repeat, "failing": [row for row in rows if row["passed"] != options.repeat]}))
    else:
        print(f"{passed} of {len(rows)} cells pass, {options.repeat} repetition{'s' * (options.repeat != 1)} each")
    return 0 if passed == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
