"""./dev tidy looks at every file of the compile database, and again only at what changed.

clang-tidy is a stand-in that finds the word FAULT in a file and notes which files it was asked about.
"""

import json
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "integration/deploy"))

import clang_tidy  # noqa: E402

STAND_IN = """#!/bin/sh
[ "$1" != --version ] || { echo version 1; exit; }
for file in "$@"; do :; done
basename "$file" >>"$(dirname "$0")/asked"
! grep -Hn FAULT "$file" | sed 's/FAULT/error: fault/' | grep .
"""


class Tidy(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        self.folder = self.root / "build"
        self.folder.mkdir()
        tool = self.root / "clang-tidy"
        tool.write_text(STAND_IN, encoding="utf-8")
        tool.chmod(0o755)
        path = mock.patch.dict(os.environ, PATH=f"{self.root}:{os.environ['PATH']}")
        path.start()
        self.addCleanup(path.stop)
        self.write(".clang-tidy", "Checks: one")
        self.write("shared.h", "#pragma once\n")
        self.write("a.cc", '#include "shared.h"\n')
        self.write("b.cc", "int b;\n")
        entries = [{"directory": str(self.folder), "file": str(self.root / name), "command": f"c++ -o {name}.o -c {self.root / name}"}
                   for name in ("a.cc", "b.cc", "b.cc")]
        (self.folder / "compile_commands.json").write_text(json.dumps(entries), encoding="utf-8")

    def write(self, name, text):
        (self.root / name).write_text(text, encoding="utf-8")

    def check(self):
        """(How many files have findings, which files clang-tidy was asked about, what was reported.)"""
        asked = self.root / "asked"
        asked.write_text("", encoding="utf-8")
        lines = []
        faulty = clang_tidy.check_tree(self.root, self.folder, 2, lines.append)
        return faulty, sorted(asked.read_text(encoding="utf-8").split()), "\n".join(lines)

    def test_a_file_is_looked_at_once_until_something_of_it_changes(self):
        self.assertEqual(self.check()[:2], (0, ["a.cc", "b.cc"]))
        self.assertEqual(self.check()[:2], (0, []))
        self.write("shared.h", "#pragma once\nint shared;\n")
        self.assertEqual(self.check()[:2], (0, ["a.cc"]))
        self.write(".clang-tidy", "Checks: two")
        self.assertEqual(self.check()[:2], (0, ["a.cc", "b.cc"]))

    def test_a_finding_is_counted_shown_and_found_again(self):
        self.write("b.cc", "int FAULT;\n")
        for asked in (["a.cc", "b.cc"], ["b.cc"]):
            faulty, files, report = self.check()
            self.assertEqual((faulty, files), (1, asked))
            self.assertEqual(report.count("b.cc:1:int error: fault"), 1)
            self.assertIn("[2/2]", report)


if __name__ == "__main__":
    unittest.main()
