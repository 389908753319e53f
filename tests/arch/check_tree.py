"""Checks the shape of the whole tree: `python3 tests/arch/check_tree.py [--root DIR] [--only GROUP]`.

Prints one line per finding, `path:line: rule: text`, then their number; exit 0 only without any. It runs as a ctest on every run.
"""

import argparse
import pathlib
import sys

import doc_checks
import layer_checks
import repeat_checks
import shape_checks
from tree import Tree

GROUPS = {
    "layers": [layer_checks.check_layers, layer_checks.check_doors],
    "shape": [
        shape_checks.check_length,
        shape_checks.check_python_functions,
        shape_checks.check_names,
        shape_checks.check_words,
        shape_checks.check_headers,
        shape_checks.check_dead_files,
    ],
    "docs": [doc_checks.check_glossary, doc_checks.check_links, doc_checks.check_doc_comments],
    "repeats": [repeat_checks.check_repeats],
}


def findings(tree, groups=tuple(GROUPS)):
    """Every finding of the named groups, in order of path and line."""
    return sorted(finding for group in groups for check in GROUPS[group] for finding in check(tree))


def main(argv):
    parser = argparse.ArgumentParser(description="checks the shape of the tree")
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--only", choices=sorted(GROUPS), help="one group of checks")
    options = parser.parse_args(argv)
    tree = Tree(options.root)
    found = findings(tree, (options.only,) if options.only else tuple(GROUPS))
    for finding in found:
        print(f"{finding.path}:{finding.line}: {finding.rule}: {finding.text}")
    print(f"{len(tree.files)} files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
