"""Tests of the checker: each law is broken on a small copy of a tree, and exactly that law must be reported."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import check_tree
from tree import Tree

HEADER = "// Purpose of this file, its place in the flow and its invariants.\n#pragma once\n"
SMALL_TREE = {
    "base/CMakeLists.txt": "sluice_library(NAME base HEADERS result.h)\n",
    "base/result.h": HEADER + "#include <span>\n",
    "codec/CMakeLists.txt": "sluice_library(NAME codec SOURCES encoder.cc HEADERS encoder.h)\n",
    "codec/encoder.h": HEADER + '#include "base/result.h"\n\n/// Encodes.\nint encode(int value);\n',
    "codec/encoder.cc": '#include "codec/encoder.h"\n\n#include <vector>\n',
    "scheduler/CMakeLists.txt": "sluice_library(NAME scheduler HEADERS planner.h)\n",
    "scheduler/planner.h": HEADER,
    "transport/CMakeLists.txt": "sluice_library(NAME transport HEADERS asio.h session.h)\n",
    "transport/asio.h": HEADER + "#include <boost/asio/post.hpp>\n",
    "transport/session.h": HEADER,
    "docs/glossary.md": "".join(f"| {word} | meaning of {word} | `base/result.h` |\n" for word in check_tree.doc_checks.WORDS),
    "README.md": "See [the glossary](docs/glossary.md).\n",
}


def copy_with(folder, changes):
    """Writes the small tree with changes (path: text; None removes)."""
    words = " ".join(check_tree.doc_checks.WORDS)
    files = SMALL_TREE | {"base/result.h": SMALL_TREE["base/result.h"] + f"// {words}\n"} | changes
    for path, text in files.items():
        if text is not None:
            target = pathlib.Path(folder) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


class CheckTree(unittest.TestCase):
    def rules(self, changes):
        """The pairs (rule, path) that the checker reports on the small tree with the changes."""
        with tempfile.TemporaryDirectory() as folder:
            copy_with(folder, changes)
            return {(finding.rule, finding.path) for finding in check_tree.findings(Tree(folder))}

    def assert_only(self, changes, *expected):
        self.assertEqual(self.rules(changes), set(expected))

    def test_a_lawful_tree_has_no_findings(self):
        self.assert_only({})

    def test_a_sibling_include_fails(self):
        for sibling in ("scheduler/planner.h", "transport/session.h"):
            with self.subTest(sibling):
                changed = SMALL_TREE["codec/encoder.cc"] + f'#include "{sibling}"\n'
                self.assert_only({"codec/encoder.cc": changed}, ("layers", "codec/encoder.cc"))

    def test_an_include_upwards_fails(self):
        self.assert_only({"base/result.h": SMALL_TREE["base/result.h"] + '#include "codec/encoder.h"\n// ' + " ".join(check_tree.doc_checks.WORDS) + "\n"},
                         ("layers", "base/result.h"))

    def test_an_include_that_leads_nowhere_fails(self):
        self.assert_only({"scheduler/planner.h": HEADER + '#include "result.h"\n'}, ("layers", "scheduler/planner.h"))

    def test_a_stray_third_party_include_fails(self):
        for header in ("ucp/api/ucp.h", "boost/asio/post.hpp", "prometheus/counter.h", "llama.h", "immintrin.h", "unknown/thing.hpp", "unistd.h"):
            with self.subTest(header):
                self.assert_only({"scheduler/planner.h": HEADER + f"#include <{header}>\n"}, ("doors", "scheduler/planner.h"))

    def test_a_file_of_600_lines_fails_and_one_of_500_passes(self):
        self.assert_only({"scheduler/planner.h": HEADER + "// line\n" * 598}, ("length", "scheduler/planner.h"))
        self.assert_only({"scheduler/planner.h": HEADER + "// line\n" * 498})

    def test_a_dead_file_fails(self):
        self.assert_only({"codec/old.cc": "// Purpose.\n"}, ("dead", "codec/old.cc"))
        self.assert_only({"codec/old.h": HEADER}, ("dead", "codec/old.h"))
        self.assert_only({"docs/old.md": "text\n"}, ("dead", "docs/old.md"))
        self.assert_only({"docs/old.py": '"""Purpose."""\n'}, ("dead", "docs/old.py"))

    def test_a_name_that_says_nothing_fails(self):
        path = "codec/string_" + "uti" + "l.h"
        build = "sluice_library(NAME codec SOURCES encoder.cc HEADERS encoder.h " + path.removeprefix("codec/") + ")\n"
        self.assert_only({path: HEADER, "codec/CMakeLists.txt": build}, ("names", path))

    def test_unfinished_marks_and_machine_paths_fail(self):
        for line in ("// TO" + "DO(now): it", "// FIX" + "ME it", "// TO" + "DO: it", "// see /ho" + "me/someone/notes"):
            with self.subTest(line):
                self.assert_only({"scheduler/planner.h": HEADER + line + "\n"}, ("words", "scheduler/planner.h"))
        self.assert_only({"scheduler/planner.h": HEADER + "// TO" + "DO(perf): count fewer\n"})

    def test_a_header_without_guard_or_opening_fails(self):
        self.assert_only({"scheduler/planner.h": "// Purpose.\n"}, ("guard", "scheduler/planner.h"))
        self.assert_only({"scheduler/planner.h": "#pragma once\n"}, ("opening", "scheduler/planner.h"))

    def test_another_header_before_the_own_fails(self):
        self.assert_only({"codec/encoder.cc": '#include <vector>\n#include "codec/encoder.h"\n'}, ("own-header", "codec/encoder.cc"))

    def test_an_undocumented_declaration_fails(self):
        for line in ("int plan(int value);", "struct Plan {\n};", "Result<void> plan(int a,\n                  int b);"):
            with self.subTest(line):
                self.assert_only({"scheduler/planner.h": HEADER + "\n" + line + "\n"}, ("doc-comment", "scheduler/planner.h"))
                self.assert_only({"scheduler/planner.h": HEADER + "\n/// Plans.\n" + line + "\n"})

    def test_a_glossary_word_without_its_file_fails(self):
        glossary = SMALL_TREE["docs/glossary.md"]
        self.assert_only({"docs/glossary.md": glossary.replace("| chunk |", "| piece |")}, ("glossary", "docs/glossary.md"))
        self.assert_only({"docs/glossary.md": glossary + "| lane | a lane | `codec/lane.h` |\n"}, ("glossary", "docs/glossary.md"))

    def test_a_link_that_leads_nowhere_fails(self):
        self.assert_only({"README.md": "[gone](docs/gone.md), docs/glossary.md\n"}, ("links", "README.md"))

    def test_code_written_twice_fails(self):
        body = "".join(f"int value_{line} = compute_the_value({line});\n" for line in range(15))
        changes = {"scheduler/planner.h": HEADER + body, "transport/session.h": HEADER + body}
        self.assertIn(("repeat", "transport/session.h"), self.rules(changes))

    def test_the_program_exits_1_on_findings(self):
        program = pathlib.Path(check_tree.__file__)
        with tempfile.TemporaryDirectory() as folder:
            copy_with(folder, {})
            for changes, code in (({}, 0), ({"docs/old.md": "text\n"}, 1)):
                copy_with(folder, changes)
                status = subprocess.run([sys.executable, str(program), "--root", folder], capture_output=True, check=False)
                self.assertEqual(status.returncode, code, status.stdout)


if __name__ == "__main__":
    unittest.main()
