"""./dev where it cannot work: each cause gives one line that says what to do; and what it prints last.

The bash part runs with a folder of stand-ins for apt, dpkg, id and sudo first in PATH, so that no test installs anything.
"""

import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "integration/deploy"))

import dev_loop  # noqa: E402
import llama_cpp_library  # noqa: E402
import test_summary  # noqa: E402
from phases import Failure, Phases  # noqa: E402


def run_dev(stand_ins, *arguments):
    """Runs ./dev with programs replaced by shell lines; returns (exit code, standard error)."""
    with tempfile.TemporaryDirectory() as folder:
        for name, line in stand_ins.items():
            program = pathlib.Path(folder) / name
            program.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            program.chmod(0o755)
        environment = dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}", SLUICE_CACHE=f"{folder}/cache")
        done = subprocess.run([str(ROOT / "dev"), *arguments], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=60, check=False)
        return done.returncode, done.stderr


MISSING = {"dpkg-query": "exit 1"}
NO_ROOT = {"id": "echo 1000"}


class Packages(unittest.TestCase):
    def assert_says(self, stand_ins, pattern):
        code, text = run_dev(stand_ins, "setup")
        self.assertEqual(code, 1)
        self.assertRegex(text.splitlines()[-1], pattern)
        self.assertNotIn("Traceback", text)

    def test_no_root_and_a_sudo_that_asks(self):
        self.assert_says(MISSING | NO_ROOT | {"sudo": "exit 1"}, r"^\./dev: root is needed once.*apt-get install")

    def test_no_mirror(self):
        self.assert_says(MISSING | {"id": "echo 0", "apt-get": "exit 100", "df": "echo; echo x 9 9 9999999 9 /"}, "no Debian mirror can be reached")

    def test_no_space_for_packages(self):
        self.assert_says(MISSING | {"id": "echo 0", "df": "echo; echo x 9 9 1024 9 /"}, "no space: .* 1 MiB are free")

    def test_help_needs_nothing(self):
        self.assertEqual(run_dev(MISSING | NO_ROOT | {"sudo": "exit 1"}, "help")[0], 0)

    def test_an_unknown_verb_is_named(self):
        listing = "for p in \"$@\"; do echo \"$p installed\"; done"
        code, text = run_dev({"dpkg-query": listing}, "biuld")
        self.assertEqual(code, 1)
        self.assertIn("there is no verb biuld", text)


class Checks(unittest.TestCase):
    def test_an_old_compiler_is_named(self):
        with self.assertRaisesRegex(Failure, r"old compiler: c\+\+ is 10\.2"):
            dev_loop.check_versions({"c++": (12, 0)}, lambda tool: "c++ (Debian 10.2.1-6) 10.2.1 20210110\n")
        dev_loop.check_versions({"c++": (12, 0)}, lambda tool: "c++ (Debian 12.2.0-14) 12.2.0\n")

    def test_too_little_space_is_named(self):
        with self.assertRaisesRegex(Failure, "no space: .*not-there"):
            dev_loop.check_space([ROOT / "not-there"], 1 << 60)

    def test_the_cache_follows_the_environment(self):
        self.assertEqual(dev_loop.cache_folder({"SLUICE_CACHE": "/a/b"}), pathlib.Path("/a/b"))
        self.assertEqual(dev_loop.cache_folder({"XDG_CACHE_HOME": "/a"}), pathlib.Path("/a/sluice"))
        self.assertEqual(dev_loop.cache_folder({"HOME": "/nonexistent"}), ROOT / ".cache")

    def test_a_processor_without_avx2_gets_a_library_without_it(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("flags : fpu sse2 ssse3\n")
            file.flush()
            self.assertIn("-DGGML_AVX2=OFF", llama_cpp_library.processor_flags(file.name))


class Summary(unittest.TestCase):
    def test_phases_are_summed_apart_from_the_work(self):
        phases = Phases(out=io.StringIO())
        phases.record("packages", 1.25)
        phases.record("build", 2.5)
        phases.record("tests", 40.0, is_setup=False)
        self.assertTrue(phases.summary().endswith("tests 40.0 s; set-up 3.8 s in all"), phases.summary())

    def test_counts_come_last_and_name_what_failed(self):
        cases = ('<testcase name="a" status="run"/><testcase name="b" status="fail"><failure/></testcase>'
                 '<testcase name="c" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/></testcase>'
                 '<testcase name="d" status="notrun"><skipped message="Unable to find executable"/></testcase>')
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(f"<testsuite>{cases}</testsuite>")
            file.flush()
            lines = test_summary.read_results(file.name, 8).last_lines()
        self.assertEqual(lines[-1], "tests: 4 run, 1 passed, 2 failed, 1 skipped")
        self.assertIn("failed: d", lines)


if __name__ == "__main__":
    unittest.main()
