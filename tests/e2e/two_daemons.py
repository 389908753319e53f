#!/usr/bin/env python3
"""The product as its users run it: two `sluice serve` that know each other by config, KV sent to one, requests answered,
metrics scraped and linted, SIGTERM while a request runs, and with --transfers N a soak with flat memory and handles.

No fixed sleeps: every wait is a condition with a deadline."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from node_process import Timeout, find_program, poll  # noqa: E402

START_SECONDS = 30.0
REQUEST_SECONDS = 60.0
DRAIN_SECONDS = 15.0
WARM_UP = 300  # requests before memory is looked at first: by then the bounded histories (256 answers) and pools have filled
GROWTH_BYTES = 2 << 20  # what the resident set may grow by afterwards, in all transfers; the KV of one is 4 MB
RECORDING = pathlib.Path(__file__).resolve().parents[2] / "integration/engines/recorded/data/recording.json"
SLOW_NS_PER_TOKEN = 5_000_000  # prefill of the recorded prompt takes above a second: time to end a daemon meanwhile


class Broken(Exception):
    """A promise that did not hold."""


def check(condition, text):
    if not condition:
        raise Broken(text)


class Daemon:
    """One `sluice serve` with a config file of its own."""

    def __init__(self, program, folder, name, config):
        self.name, self.folder = name, folder
        path = folder / f"{name}.toml"
        path.write_text(config, encoding="utf-8")
        self.process = subprocess.Popen([program, "serve", "--config", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said, self.errors, self.ready = [], [], None
        self.readers = [threading.Thread(target=self.listen, args=(self.process.stdout, self.said), daemon=True),
                        threading.Thread(target=self.listen, args=(self.process.stderr, self.errors), daemon=True)]
        for reader in self.readers:
            reader.start()

    def listen(self, pipe, kept):
        for line in pipe:
            kept.append(line)
            if line.startswith("sluice: ready"):
                self.ready = dict(word.split("=", 1) for word in line.split() if "=" in word)

    def wait_ready(self):
        def is_there():
            if self.process.poll() is not None:
                raise Timeout(f"{self.name} ended with {self.process.returncode}: {''.join(self.said + self.errors)[-500:]}")
            return self.ready
        return poll(is_there, START_SECONDS, f"{self.name}: ready line")

    @property
    def data(self):
        return self.ready["data"]

    def ask(self, path, body=None, seconds=REQUEST_SECONDS):
        """(status, text) of the admin port."""
        request = urllib.request.Request(f"http://{self.ready['admin']}{path}", data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()

    def run(self, **body):
        status, text = self.ask("/v1/requests", body)
        return status, json.loads(text)

    def handles(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        for reader in self.readers:
            reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


def configuration(name, role, peers=(), **more):
    settings = {"engine.kind": "recorded", "engine.prefill_ns_per_token": 1000, "listen.data": "127.0.0.1:0", "listen.admin": "127.0.0.1:0", "node.name": name, "node.role": role, **more}
    if peers:
        settings["discovery.peers"] = list(peers)
    sections = {}
    for key, value in settings.items():
        section, name_in_section = key.split(".")
        sections.setdefault(section, []).append(f"{name_in_section} = {json.dumps(value)}")  # JSON's values are TOML's
    return "\n".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items())


class Pair:
    """A prefill and a decode daemon, joined by the decode daemon's config."""

    def __init__(self, program, **more):
        self.program, self.folder = program, pathlib.Path(tempfile.mkdtemp(prefix="sluice-e2e-"))
        self.more = more
        self.daemons = []

    def __enter__(self):
        try:
            self.prefill = self.start("prefill", configuration("p1", "prefill", **self.more))
            self.decode = self.start("decode", configuration("d1", "decode", [self.prefill.data], **self.more))
            poll(lambda: self.decode.ask("/readyz")[0] == 200, START_SECONDS, "decode daemon ready", 0.02)
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, name, config):
        daemon = Daemon(self.program, self.folder, name, config)
        self.daemons.append(daemon)
        daemon.wait_ready()
        return daemon

    def __exit__(self, *_):
        for daemon in self.daemons:
            daemon.end()
        shutil.rmtree(self.folder)


def prompt():
    return json.loads(RECORDING.read_text(encoding="utf-8"))


def transfer(decode, facts, **body):
    """One request that must be delivered, with the recorded model's tokens."""
    status, answer = decode.run(**{"text": facts["text"], "generate": 8, "deadline_ms": 30000, "policy": "lossless", **body})
    check(status == 200 and answer["outcome"] == "delivered", f"{status}: {answer.get('outcome')} {answer.get('error')} {answer.get('message', '')}")
    check(answer["tokens"] == [token for token, _ in facts["greedy"][:8]], f"other tokens: {answer['tokens']}")
    return answer


def check_health(pair, _):
    """Both daemons are alive and ready; status and links say who is joined."""
    for daemon in pair.daemons:
        for path in ("/healthz", "/readyz", "/v1/status", "/v1/links"):
            status, text = daemon.ask(path)
            check(status == 200, f"{daemon.name} {path}: {status} {text[:100]}")
    links = json.loads(pair.decode.ask("/v1/links")[1])
    check(any(link["peer"] == "p1" for link in links), f"the decode daemon's links: {links}")


def send(pair, times):
    """`sluice send` of the recorded KV into the prefill daemon's store, as often as this, in one process."""
    sent = subprocess.run([pair.program, "--format", "json", "send", "--to", pair.prefill.data, "--repeat", str(times), "recorded"],
                          capture_output=True, text=True, timeout=REQUEST_SECONDS + times, check=False)
    check(sent.returncode == 0, f"send ended with {sent.returncode}: {(sent.stdout + sent.stderr)[-300:]}")
    told = json.loads(sent.stdout)
    check(told["delivered"] == times, f"delivered {told['delivered']} of {times}")
    return told


def check_send(pair, facts):
    """The recorded KV is sent into the prefill daemon's store; the decode daemon then fetches it in reuse."""
    told = send(pair, 1)
    stored = json.loads(pair.prefill.ask("/v1/status")[1])["store_prompts"]
    check(stored == 1, f"{stored} prompts in the store")
    # What was sent is what the prefill daemon's own policy asked for: another may not find its parts there.
    transfer(pair.decode, facts, mode="reuse", policy="sluice")
    return f"sent in {told['mean_ms']:.0f} ms"


def check_fetch(pair, _):
    """What was sent comes back by `sluice fetch` as the rows that were recorded; a prompt that nobody sent is told as such."""
    back, recorded = pair.folder / "back.safetensors", pair.folder / "recorded.safetensors"

    def fetch(prompt):
        return subprocess.run([pair.program, "fetch", "--from", pair.prefill.data, prompt, str(back)], capture_output=True,
                              text=True, timeout=REQUEST_SECONDS, check=False)
    fetched = fetch("recorded")
    check(fetched.returncode == 0, f"fetch ended with {fetched.returncode}: {fetched.stderr.strip()}")
    subprocess.run([pair.program, "codec", "decode", str(RECORDING.with_suffix(".slk")), str(recorded)], check=True, capture_output=True, timeout=REQUEST_SECONDS)
    check(back.read_bytes() == recorded.read_bytes(), "the fetched rows differ from those that were sent")
    missing = fetch("tokens:7")
    check(missing.returncode == 1 and "not_found" in missing.stderr, f"a prompt that is not there: {missing.returncode} {missing.stderr.strip()}")


def check_handover(pair, facts):
    """A request is prefilled by the one and answered by the other."""
    transfer(pair.decode, facts, mode="handover")


def check_metrics(pair, _):
    """A live scrape of both daemons is clean for promtool and has counted the transfers."""
    promtool = shutil.which("promtool")
    check(promtool, "promtool is not installed (package prometheus)")
    for daemon in (pair.prefill, pair.decode):
        status, text = daemon.ask("/metrics")
        check(status == 200, f"{daemon.name} /metrics: {status}")
        lint = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False)
        check(lint.returncode == 0 and not lint.stderr.strip(), f"{daemon.name}: promtool: {(lint.stdout + lint.stderr)[:300]}")
        counted = [line for line in text.splitlines() if line.startswith("sluice_transfers_total{") and not line.endswith(" 0")]
        check(counted, f"{daemon.name} has counted no transfer")


def check_replay(program, facts):
    """What a daemon's planner decided is decided again from its log; a request is explained from it; a damaged log is told as such."""
    with tempfile.TemporaryDirectory(prefix="sluice-log-") as folder:
        log = pathlib.Path(folder) / "decisions.sdl"
        with Pair(program) as pair:
            settings = {"planner.decision_log": str(log), "planner.decision_log_bytes": 1 << 20}
            pair.decode.end()
            pair.decode = pair.start("logged", configuration("d2", "decode", [pair.prefill.data], **settings))
            poll(lambda: pair.decode.ask("/readyz")[0] == 200, START_SECONDS, "logged daemon ready", 0.02)
            answers = [transfer(pair.decode, facts, mode="handover", policy=policy) for policy in ("sluice", "lossless", "cachegen", "sluice")]
            status = json.loads(pair.decode.ask("/v1/status")[1])
            check(status["decision_log"] == "recording", f"the log is {status['decision_log']}")

        def sluice(*words):
            return subprocess.run([program, "--format", "json", *words], capture_output=True, text=True, timeout=REQUEST_SECONDS, check=False)
        again = sluice("trace", "replay", str(log))
        check(again.returncode == 0, f"replay ended with {again.returncode}: {again.stdout[-500:]}{again.stderr}")
        told = json.loads(again.stdout)
        check(told["identical"] and told["policies"] == 3 and told["steps"] > 20 and not told["full"], f"replayed {told}")
        whole = log.read_bytes()
        check(facts["text"].encode()[:20] not in whole, "the log holds the prompt's text")
        why = sluice("explain", str(answers[0]["request"]), "--log", str(log))
        check(why.returncode == 0, f"explain ended with {why.returncode}: {why.stderr}")
        said = [row["decision"] for row in json.loads(why.stdout)]
        check(said[-1] == answers[0]["explanation"], f"explained as {said[-1]}, told as {answers[0]['explanation']}")
        for damaged, word in ((whole[:-3], "truncated"), (whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], "digest_mismatch"), (b"x" * 99, "bad_magic")):
            log.write_bytes(damaged)
            refused = sluice("trace", "replay", str(log))
            check(refused.returncode == 1 and word in refused.stderr, f"a {word} log: {refused.returncode} {refused.stderr}")
        return f"{told['steps']} events, {told['actions']} actions, {len(whole)} bytes"


def check_drain(program, facts, victim):
    """SIGTERM while a request runs: it is finished, new ones are refused, the daemon ends with 0."""
    with Pair(program, **{"engine.prefill_ns_per_token": SLOW_NS_PER_TOKEN}) as pair, concurrent.futures.ThreadPoolExecutor(1) as pool:
        daemon = getattr(pair, victim)
        running = pool.submit(transfer, pair.decode, facts, mode="handover")
        poll(lambda: json.loads(daemon.ask("/v1/status")[1])["running_requests"] >= 1, START_SECONDS, "a running request")
        daemon.process.send_signal(signal.SIGTERM)
        running.result(REQUEST_SECONDS)
        code = daemon.process.wait(DRAIN_SECONDS)
        check(code == 0, f"{victim} ended with {code}: {''.join(daemon.errors)[-300:]}")


def footprint(pair):
    return {daemon.name: (daemon.resident(), daemon.handles(), daemon.threads()) for daemon in (pair.prefill, pair.decode)}


def check_soak(pair, facts, transfers):
    """Many transfers in a row, half of them sends and half requests: memory, handles and threads do not grow."""
    def requests(count):
        for number in range(count):
            transfer(pair.decode, facts, mode=("handover", "reuse")[number % 2])

    send(pair, 1)
    requests(WARM_UP)
    first = footprint(pair)
    send(pair, transfers - transfers // 2)
    requests(transfers // 2)
    last = footprint(pair)
    for name, (memory, handles, threads) in last.items():
        check(memory - first[name][0] <= GROWTH_BYTES, f"{name} grew from {first[name][0] >> 10} to {memory >> 10} KiB")
        check(handles <= first[name][1], f"{name} has {handles} handles, had {first[name][1]}")
        check(threads <= first[name][2], f"{name} has {threads} threads, had {first[name][2]}")
    return ", ".join(f"{name} {first[name][0] >> 10} -> {last[name][0] >> 10} KiB, {last[name][1]} handles" for name in last)


def run_checks(program, transfers):
    """(name, passed, text) of each check."""
    facts = prompt()

    def judge(name, act):
        try:
            return name, True, act() or ""
        except (Broken, Timeout, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as failure:
            return name, False, f"{type(failure).__name__}: {failure}"

    try:
        with Pair(program) as pair:
            yield judge("found by config, healthy and ready", lambda: check_health(pair, facts))
            yield judge("send of the recorded KV, then reuse", lambda: check_send(pair, facts))
            yield judge("fetch of what was sent", lambda: check_fetch(pair, facts))
            yield judge("hand-over", lambda: check_handover(pair, facts))
            yield judge("metrics clean on a live scrape", lambda: check_metrics(pair, facts))
            if transfers:
                yield judge(f"{transfers} transfers, flat", lambda: check_soak(pair, facts, transfers))
    except (Timeout, OSError) as failure:
        yield "two daemons start", False, str(failure)
        return
    yield judge("decisions repeat from the log", lambda: check_replay(program, facts))
    for victim in ("decode", "prefill"):
        yield judge(f"SIGTERM drains the {victim} daemon", lambda victim=victim: check_drain(program, facts, victim))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transfers", type=int, default=0, help="also a soak of this many requests")
    parser.add_argument("--program", help="sluice or a build folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    program = find_program("integration/programs/sluice", options.program)
    rows = []
    for name, passed, text in run_checks(program, options.transfers):
        rows.append({"check": name, "passed": passed, "text": text})
        if not options.json:
            print(f"{'ok  ' if passed else 'FAIL'} {name:40} {text}", flush=True)
    failed = sum(not row["passed"] for row in rows)
    if options.json:
        print(json.dumps({"checks": len(rows), "failed": failed, "transfers": options.transfers, "rows": rows}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
