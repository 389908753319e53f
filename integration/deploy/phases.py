"""Phases of ./dev: each is timed, announced and, when it cannot work, ends in one line that says what to do.

Failure is the only exception that ./dev shows to a user; it becomes that one line and exit code 1.
"""

import subprocess
import sys
import time


class Failure(Exception):
    """A step that cannot work, in one line for the user."""


class Phases:
    """Times named phases and prints each time when it ends, and all of them at the end.

    Set-up phases (packages, fetching, configuring, building) are summed apart from the work itself.
    """

    def __init__(self, clock=time.time, out=sys.stderr):
        self._clock = clock
        self._out = out
        self._rows = []

    def record(self, name, seconds, is_setup=True):
        self._rows.append((name, seconds, is_setup))
        self._print(f"phase {name}: {seconds:.1f} s")

    def run(self, name, step, is_setup=True):
        """Runs step() as a phase and returns what it returns; a phase that fails is timed too."""
        start = self._clock()
        try:
            return step()
        finally:
            self.record(name, self._clock() - start, is_setup)

    def summary(self):
        """One line: every phase, and the sum of those of the set-up."""
        setup = sum(seconds for _, seconds, is_setup in self._rows if is_setup)
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds, _ in self._rows)
        return f"phases: {parts}; set-up {setup:.1f} s in all"

    def print_summary(self):
        self._print(self.summary())

    def _print(self, line):
        print(line, file=self._out, flush=True)


def run_logged(command, log, what):
    """Runs a command with its output in the file log; a Failure shows the log's last lines."""
    with open(log, "wb") as sink:
        status = subprocess.run(command, stdout=sink, stderr=subprocess.STDOUT, check=False).returncode
    if status != 0:
        with open(log, encoding="utf-8", errors="replace") as text:
            tail = text.read().splitlines()[-15:]
        print("\n".join(tail), file=sys.stderr)
        raise Failure(f"{what} failed (exit {status}); the whole output is in {log}")


def run_shown(command, what, output=None):
    """Runs a command with its output on the terminal (or in the stream `output`); anything but exit 0 is a Failure."""
    status = subprocess.run(command, stdout=output, check=False).returncode
    if status != 0:
        raise Failure(f"{what} failed (exit {status})")
