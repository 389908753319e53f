"""Drives one fault_node process by JSON lines, and looks at it from outside: file handles, state, exit.

No fixed sleeps: every wait is a condition with a deadline."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

MARK = "SLUICE_FAULT_RUN"
EXIT_SKIPPED = 77  # as ctest reads it


class Timeout(Exception):
    """What was waited for did not come in time."""


def find_program(name, given=None):
    """The program `name` (a path in a build folder): `given` is it or its build folder; else the usual build folders. Where it is not built the
    script ends as skipped."""
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    for place in [pathlib.Path(given)] if given else [root / "build/release", root / "build/dev", root / "build"]:
        program = place if place.is_file() else place / name
        if program.is_file():
            return str(program)
    target = pathlib.PurePath(name).name
    print(f"{target} is not built: ninja -C build {target}, or give --program", file=sys.stderr)
    sys.exit(EXIT_SKIPPED)


def poll(condition, seconds, what, every=0.005):
    """The first true value of condition(); Timeout when there is none in `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise Timeout(f"{what}: not within {seconds:.1f} s")
        time.sleep(every)


class NodeProcess:
    """One fault_node. `lines` is all that it has said, in order."""

    def __init__(self, program, run_id, **settings):
        self.settings = settings
        self.lines, self.condition, self.is_over = [], threading.Condition(), False
        self.errors = b""
        environment = dict(os.environ, **{MARK: run_id})
        self.process = subprocess.Popen([program, json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment)
        self.readers = [threading.Thread(target=self.read_lines, daemon=True), threading.Thread(target=self.read_errors, daemon=True)]
        for reader in self.readers:
            reader.start()
        self.numbers = 0

    def read_lines(self):
        for line in self.process.stdout:
            with self.condition:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    self.errors += b"not JSON: " + line
                self.condition.notify_all()
        with self.condition:
            self.is_over = True
            self.condition.notify_all()

    def read_errors(self):
        for line in self.process.stderr:
            self.errors += line

    def wait_line(self, matches, seconds, what, start=0):
        """The first line from `start` on that matches; None when the process has ended without one."""
        end = time.monotonic() + seconds
        with self.condition:
            while True:
                for line in self.lines[start:]:
                    if matches(line):
                        return line
                start = len(self.lines)
                if self.is_over:
                    return None
                left = end - time.monotonic()
                if left <= 0:
                    raise Timeout(f"{self.settings.get('name')}: {what}: not within {seconds:.1f} s")
                self.condition.wait(left)

    def address(self, seconds=10.0):
        line = self.wait_line(lambda line: "ready" in line or "error" in line, seconds, "ready line")
        if line is None or "ready" not in line:
            raise Timeout(f"did not start: {line} {self.errors.decode(errors='replace')[-300:]}")
        return line["ready"]

    def send(self, command):
        try:
            self.process.stdin.write((json.dumps(command) + "\n").encode())
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it is dead: the waits say so

    def start_request(self, **body):
        self.numbers += 1
        self.send({"run": body, "id": self.numbers})
        return self.numbers

    def wait_answer(self, number, seconds):
        return self.wait_line(lambda line: line.get("id") == number, seconds, f"answer {number}")

    def status(self, seconds=2.0):
        """The next status line; None when the process is dead."""
        with self.condition:
            start = len(self.lines)
        self.send({"status": 1})
        return self.wait_line(lambda line: "status" in line, seconds, "status", start)

    def events(self, name):
        with self.condition:
            return [line for line in self.lines if line.get("event") == name]

    def fault_line(self):
        with self.condition:
            return next((line for line in self.lines if "fault" in line), None)

    def handles(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def is_frozen(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in ("T", "t")

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(5)
        self.tidy()

    def close(self, seconds=5.0):
        """Asks it to end; its exit code, or None when it had to be killed."""
        self.send({"close": 1})
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        self.tidy()
        return code

    def tidy(self):
        for reader in self.readers:
            reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass


def processes_of(run_id):
    """Processes, dead or alive, that still carry this run's mark."""
    wanted = f"{MARK}={run_id}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environment:
                if wanted in environment.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return found
