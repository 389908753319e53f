"""Lists and runs the claims of docs/claims.toml: `./dev claims [--json]` and `./dev claims run ID... [--quick]` (globs allowed).

A claim is a sentence with a command, a way to read a figure from the command's output, and a bar. The command's exit code counts:
a command that fails, ends late or is not there gives no figure, and a claim without a figure falls short. Exit 0 only when all hold.
"""

import argparse
import dataclasses
import fnmatch
import json
import operator
import os
import pathlib
import re
import signal
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
BAR = re.compile(r"^(>=|<=|==|>|<)\s*(-?[0-9.]+)\s*(\S.*)?$")
FIELDS = {"sentence", "command", "figure", "bar", "slow", "timing", "timeout_s", "short"}
REQUIRED = {"sentence", "command", "figure", "bar"}
TAIL_LINES = 15
EXIT_SKIPPED = 77  # of a command that cannot be tried on this machine, as in ctest


class BadClaims(Exception):
    """The list of claims itself is wrong, in one line."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """One promise. figure is `exit`, `regex: PATTERN` (last match, group 1) or `json: a.b[].c` (the worst of the values found)."""

    identity: str
    sentence: str
    command: str
    figure: str
    bar: str
    slow: bool = False
    timing: bool = False
    timeout_s: float = 600
    short: str = ""  # why it is known to fall short

    @property
    def compare(self):
        return OPERATORS[BAR.match(self.bar).group(1)]

    @property
    def limit(self):
        return float(BAR.match(self.bar).group(2))


def parse_claims(text):
    """The claims of a claims.toml, in its order. Errors: BadClaims naming the entry."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise BadClaims(str(fault)) from fault
    claims = []
    for group, entries in tables.items():
        for number, entry in entries.items():
            identity = f"{group}.{number}"
            if not isinstance(entry, dict) or set(entry) - FIELDS or REQUIRED - set(entry):
                raise BadClaims(f"{identity}: needs {', '.join(sorted(REQUIRED))} and may have {', '.join(sorted(FIELDS - REQUIRED))}")
            if not BAR.match(entry["bar"]):
                raise BadClaims(f"{identity}: the bar '{entry['bar']}' is not an operator and a number")
            if not re.match(r"exit$|regex: .|json: .", entry["figure"]):
                raise BadClaims(f"{identity}: the figure '{entry['figure']}' is none of exit, regex: PATTERN, json: PATH")
            claims.append(Claim(identity, **entry))
    return claims


def values_at(document, path):
    """All values at a dotted path; `[]` after a name goes through the list there."""
    found = [document]
    for step in path.split("."):
        name, through = step.removesuffix("[]"), step.endswith("[]")
        found = [item[name] for item in found if isinstance(item, dict) and name in item] if name else found
        if through:
            found = [inner for item in found if isinstance(item, list) for inner in item]
    return [float(value) for value in found if isinstance(value, (int, float))]


def read_figure(claim, status, output):
    """The figure as a number, or None where the command gave none."""
    if claim.figure == "exit":
        return float(status)
    kind, _, rule = claim.figure.partition(": ")
    if kind == "regex":
        matches = re.findall(rule, output, re.MULTILINE)
        return float(matches[-1]) if matches else None
    try:
        values = values_at(json.loads(output), rule)
    except json.JSONDecodeError:
        return None
    if not values:
        return None
    # Every value must pass, so the one farthest on the wrong side speaks for all.
    if claim.compare is operator.eq:
        return max(values, key=lambda value: abs(value - claim.limit))
    return min(values) if claim.compare in (operator.ge, operator.gt) else max(values)


def run_command(claim, root):
    """(exit code or None when it ended late, standard output, standard error). The whole process group ends with it."""
    process = subprocess.Popen(["bash", "-c", "set -o pipefail; " + claim.command], cwd=root, text=True, errors="replace",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        output, complaints = process.communicate(timeout=claim.timeout_s)
        return process.returncode, output, complaints
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as end:
        os.killpg(process.pid, signal.SIGKILL)
        output, complaints = process.communicate()
        if isinstance(end, KeyboardInterrupt):
            raise
        return None, output, complaints + f"\nended after {claim.timeout_s:.0f} s\n"


def judge(claim, root=ROOT):
    """(holds, shown figure, what to print when it falls short); holds is None where the claim cannot be tried here."""
    status, output, complaints = run_command(claim, root)
    if status == EXIT_SKIPPED:
        return None, "", "\n".join((output + complaints).splitlines()[-TAIL_LINES:])
    figure = read_figure(claim, status, output) if status is not None else None
    ran = status is not None and (claim.figure == "exit" or status == 0)
    holds = ran and figure is not None and claim.compare(figure, claim.limit)
    shown = f"{figure:g}" if figure is not None else "no figure"
    if not ran:
        shown += f", exit {status}" if status is not None else ", too late"
    tail = "\n".join((output + complaints).splitlines()[-TAIL_LINES:])
    return holds, shown, tail


def choose(claims, patterns):
    """The claims named by patterns, in the list's order. Errors: BadClaims for a pattern that names none."""
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(claim.identity, pattern) for claim in claims):
            raise BadClaims(f"no claim is named {pattern}; ./dev claims lists them")
    return [claim for claim in claims if any(fnmatch.fnmatchcase(claim.identity, pattern) for pattern in patterns)]


def run_all(claims, root=ROOT, as_known=False, out=sys.stdout):
    """Runs the claims one after the other; True when all hold.

    as_known, for CI: what cannot be tried on this machine does not count, and what is known to fall short must do so: a claim that has come
    to hold is to be told.
    """
    all_hold = True
    for claim in claims:
        holds, shown, tail = judge(claim, root)
        all_hold = all_hold and (as_known if holds is None else holds != bool(as_known and claim.short))
        verdict = "cannot be tried here" if holds is None else f"{'holds' if holds else 'falls short'} {shown}"
        print(f"{claim.identity} {verdict} (bar {claim.bar})", file=out, flush=True)
        if as_known and claim.short:
            print(f"    known to fall short: {claim.short}" if not holds else "    it holds now: take `short` out of its entry", file=out, flush=True)
        elif not holds and tail:
            print("\n".join("    " + line for line in tail.splitlines()), file=out, flush=True)
    return all_hold


def list_all(claims, as_json, out=sys.stdout):
    if as_json:
        print(json.dumps([dataclasses.asdict(claim) for claim in claims], indent=1), file=out)
        return
    for claim in claims:
        marks = "".join(f" [{mark}]" for mark in ("slow", "timing") if getattr(claim, mark))
        print(f"{claim.identity}{marks}: {claim.sentence} (bar {claim.bar})\n    {claim.command}", file=out)


def main(argv):
    parser = argparse.ArgumentParser(prog="./dev claims", description="lists the claims, or runs those named")
    parser.add_argument("--file", default=str(ROOT / "docs/claims.toml"))
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    parser.add_argument("--quick", action="store_true", help="of those named, only the quick ones that measure no time, against what is known of them (as CI does)")
    parser.add_argument("words", nargs="*", metavar="run ID", help="run, then ids or globs")
    options = parser.parse_args(argv)
    try:
        claims = parse_claims(pathlib.Path(options.file).read_text(encoding="utf-8"))
        if not options.words:
            list_all(claims, options.json)
            return 0
        if options.words[0] != "run" or len(options.words) < 2:
            raise BadClaims("usage: ./dev claims [run ID...]")
        chosen = choose(claims, options.words[1:])
    except (BadClaims, OSError) as fault:
        print(f"./dev claims: {fault}", file=sys.stderr)
        return 2
    if options.quick:
        chosen = [claim for claim in chosen if not claim.slow and not claim.timing]
    return 0 if run_all(chosen, as_known=options.quick) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
