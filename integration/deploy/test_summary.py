"""Runs ctest and prints, as the last line, how many tests ran, passed, failed and skipped, with the names that matter."""

import dataclasses
import os
import subprocess
import xml.etree.ElementTree

from phases import Failure

NAMES_SHOWN = 20


@dataclasses.dataclass
class Outcome:
    """What a run of ctest came to."""

    passed: int
    failed: list
    skipped: list
    exit_code: int

    def last_lines(self):
        lines = [f"{what}: {name}" for what, names in (("skipped", self.skipped), ("failed", self.failed)) for name in names[:NAMES_SHOWN]]
        total = self.passed + len(self.failed) + len(self.skipped)
        lines.append(f"tests: {total} run, {self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped")
        return lines

    def print_last(self):
        print("\n".join(self.last_lines()), flush=True)


def read_results(path, exit_code):
    """The Outcome written in ctest's JUnit file."""
    passed, failed, skipped = 0, [], []
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        if case.get("status") in ("notrun", "disabled"):
            reason = case.find("skipped")
            is_skip = reason is None or "SKIP" in (reason.get("message") or "").upper()
            (skipped if is_skip else failed).append(case.get("name"))
        elif case.find("failure") is not None or case.get("status") == "fail":
            failed.append(case.get("name"))
        else:
            passed += 1
    return Outcome(passed, failed, skipped, exit_code)


def run_ctest(preset, folder, arguments, environment):
    """Runs the tests of one build folder and returns the Outcome. No test at all is a failure too."""
    results = folder / "tests.xml"
    results.unlink(missing_ok=True)
    jobs = str(min(2, os.cpu_count() or 1))
    command = ["ctest", "--preset", preset, "-j", jobs, "--output-on-failure", "--no-tests=error", "--output-junit", str(results)]
    status = subprocess.run([*command, *arguments], env=environment, check=False).returncode
    if not results.exists():
        raise Failure(f"ctest gave no results (exit {status})")
    return read_results(results, status)
