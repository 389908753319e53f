"""The shape of files: length, names, words, guards, order of includes, functions' length in Python, and files that nothing uses."""

import ast
import re

from tree import Finding

MAX_LINES = 500
MAX_FUNCTION_LINES = 70
SOURCES = (".h", ".cc", ".cu", ".cuh", ".py", ".sh", ".cmake", "CMakeLists.txt")
SCRIPTS = ("dev", ".ci/run")
# Spelt in pieces, since this file is checked too.
BANNED_STEMS = {"uti" + "l", "uti" + "ls", "comm" + "on", "help" + "er", "help" + "ers", "man" + "ager", "mi" + "sc"}
BANNED_WORDS = [
    (re.compile("FIX" + "ME|" + r"\bXX" + r"X\b"), "an unfinished mark"),
    (re.compile("TO" + r"DO(?!\((perf|port|test)\): )"), "an open mark without (perf|port|test): and what is open"),
    (re.compile(r"(?<![A-Za-z0-9_.~])/(home/[a-z]|wor" + r"k/|far" + "m/|Users/)"), "a path of one machine"),
    (re.compile(r"namespace\s+(\w+::)*(" + "|".join(sorted(BANNED_STEMS)) + r")\b"), "a namespace that names nothing"),
]
ENTRY_FILES = {"README.md", "CONTRIBUTING.md", "LICENSE", "dev", ".ci/run", ".gitignore", ".clang-format", ".clang-tidy", "CMakeLists.txt"}


def is_source(path):
    return path.endswith(SOURCES) or path in SCRIPTS


def check_length(tree):
    for path in filter(is_source, tree.files):
        count = len(tree.lines(path))
        if count > MAX_LINES:
            yield Finding(path, MAX_LINES + 1, "length", f"has {count} lines, {MAX_LINES} are allowed")


def check_python_functions(tree):
    for path in tree.with_suffix(".py"):
        for node in ast.walk(ast.parse(tree.text(path))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES:
                yield Finding(path, node.lineno, "length", f"{node.name} has more than {MAX_FUNCTION_LINES} lines")


def check_names(tree):
    for path in tree.files:
        for part in re.split(r"[/._-]", path.lower()):
            if part in BANNED_STEMS:
                yield Finding(path, 1, "names", f"'{part}' says nothing about what is inside")


def check_words(tree):
    for path in tree.files:
        if not (is_source(path) or path.endswith((".md", ".toml", ".json", ".txt", ".yml", ".yaml"))):
            continue
        for number, line in enumerate(tree.lines(path), 1):
            for pattern, what in BANNED_WORDS:
                if pattern.search(line):
                    yield Finding(path, number, "words", f"{what}: {line.strip()[:80]}")


def check_headers(tree):
    """Guards, the opening comment, and a file's own header before all others."""
    for path in tree.with_suffix(".h", ".cc", ".cu", ".cuh"):
        lines = tree.lines(path)
        is_described = path.startswith("tests/") or re.sub(r"\.(cc|cu)$", ".h", path) in tree.files and not path.endswith((".h", ".cuh"))
        if not is_described and (not lines or not lines[0].startswith("//")):
            yield Finding(path, 1, "opening", "does not open with a comment on its purpose and invariants")
        if path.endswith((".h", ".cuh")) and "#pragma once" not in lines:
            yield Finding(path, 1, "guard", "has no #pragma once")
        own = re.sub(r"\.(cc|cu)$", ".h", path)
        includes = tree.includes(path)
        if own != path and own in tree.files and includes and includes[0].name != own:
            yield Finding(path, includes[0].line, "own-header", f'includes <{includes[0].name}> before its own "{own}"')
    for path in tree.with_suffix(".py"):
        if tree.text(path).strip() and ast.get_docstring(ast.parse(tree.text(path))) is None:
            yield Finding(path, 1, "opening", "does not open with a docstring on its purpose")


def _build_lists(tree, path):
    """Text of the CMake files of the path's folder and of those above it, each with the path as that file would write it."""
    parts = path.split("/")
    for depth in range(len(parts)):
        folder = "/".join(parts[:depth])
        for name in tree.with_suffix("CMakeLists.txt", ".cmake"):
            if name.rpartition("/")[0] == folder or name.endswith(".cmake"):
                yield tree.text(name), "/".join(parts[depth:])


def _is_built(tree, path):
    return any(re.search(r"(?<![\w/.-])" + re.escape(written) + r"(?![\w/-])", text) for text, written in _build_lists(tree, path))


def check_dead_files(tree):
    """C++ files belong to a CMakeLists.txt or are included; scripts and documents are named by another file."""
    included = {include.name for path in tree.with_suffix(".h", ".cc", ".cu", ".cuh") for include in tree.includes(path)}
    texts = {path: tree.text(path) for path in tree.files if is_source(path) or path.endswith((".md", ".toml", ".json", ".txt", ".yml"))}
    for path in tree.files:
        if path in ENTRY_FILES or path.endswith("CMakeLists.txt"):
            continue
        if path.endswith((".h", ".cc", ".cu", ".cuh")):
            if path not in included and not _is_built(tree, path):
                yield Finding(path, 1, "dead", "is in no CMakeLists.txt and nothing includes it")
        elif path.endswith((".py", ".sh", ".md", ".cmake")):
            name = path.rpartition("/")[2]
            stem = name.removesuffix(".py")
            pattern = re.compile(r"(?<![\w-])" + re.escape(name) + r"(?![\w-])|(?:import|from) (?:\w+(?:\.|, ))*" + re.escape(stem) + r"\b")
            if name.endswith(".py") and name == "__init__.py" or name == "__main__.py":
                continue
            if not any(pattern.search(text) for other, text in texts.items() if other != path):
                yield Finding(path, 1, "dead", "no other file names it")
