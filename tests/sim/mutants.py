#!/usr/bin/env python3
"""Mutation audit of the simulated cluster: plants all bugs of mutants.txt into one copy of the sources, each behind a number that the
environment chooses when the program starts, builds transport_seeds there once, and expects every bug alone to break a law, crash or hang
within the budget of seeds.

  mutants.py [--seeds 10000] [--only TEXT] [--folder build/mutants]     prints a line for each, then the share that was found"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = ROOT / "tests/sim/mutants.txt"
HANGS_AFTER_S = 300
SWITCH = "SLUICE_PLANTED"
NUMBER = """#pragma once
#include <cstdlib>
inline const int planted_bug = std::getenv("%s") == nullptr ? 0 : std::atoi(std::getenv("%s"));
""" % (SWITCH, SWITCH)
CONTAINER = re.compile(r"^\s*(?:template\b.*>\s*)?(?:namespace|class|struct|union|enum)\b")


class BadList(Exception):
    """An entry of mutants.txt does not fit the sources."""


def read_mutants(text):
    """[(name, file, from where on, as it is, as the bug has it)]."""
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    mutants = []
    for block in re.split(r"\n\n(?=[^\n]+\n[a-z_/]+\.(?:cc|h)\b)", body.strip("\n")):
        name, place, rest = block.split("\n", 2)
        file, _, anchor = place.partition(" ")
        old, _, new = rest.partition("\n=>")
        mutants.append((name, file, anchor, old, new.removeprefix("\n")))
    return mutants


def blank_out(text):
    """`text` with comments and literals as spaces, so that its braces are those of the code."""
    return re.sub(r'//[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'', lambda found: " " * len(found.group()), text)


def functions(text):
    """[first, last) of what stands between the braces of each outermost function."""
    code = blank_out(text)
    spans, opened, head = [], [], 0
    for at, char in enumerate(code):
        if char == "{":
            before = code[head:at]
            inside = any(kind == "function" for kind, _ in opened)
            opened.append(("container" if not inside and (CONTAINER.match(before.strip()) or "(" not in before) else "function", at + 1))
        elif char == "}":
            kind, first = opened.pop()
            if kind == "function" and not any(other == "function" for other, _ in opened):
                spans.append((first, at))
        if char in ";{}" or (char == ":" and code[at - 6:at] in ("public", "rivate")):
            head = at + 1
    return spans


def plant(text, mutants):
    """`text` with every (number, mutant) in it as a branch of the function that it changes. Errors: BadList."""
    bodies = {}
    for number, (name, file, anchor, old, new) in mutants:
        start = text.find(anchor)
        at = text.find(old, max(start, 0))
        if start < 0 or at < 0 or (not anchor and text.count(old) != 1):
            raise BadList(f"{name}: its text does not stand once in {file}")
        span = next((span for span in functions(text) if span[0] <= at and at + len(old) <= span[1]), None)
        if span is None:
            raise BadList(f"{name}: its text is not inside one function of {file}")
        bodies.setdefault(span, []).append(f"if (planted_bug == {number}) {{{text[span[0]:at]}{new}{text[at + len(old):span[1]]}}} else ")
    for (first, last), branches in sorted(bodies.items(), reverse=True):
        text = f"{text[:first]}{''.join(branches)}{{{text[first:last]}}}{text[last:]}"
    return text


def write_sources(target, mutants):
    """A copy of the tree with the bugs in it; files that have not changed are left alone."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    planted = {}
    for number, mutant in enumerate(mutants, start=1):
        planted.setdefault(mutant[1], []).append((number, mutant))
    sources = {path: (ROOT / path).read_bytes() for path in listed.stdout.splitlines() if (ROOT / path).is_file()}
    for file, own in planted.items():
        text = plant(sources[file].decode(), own)
        line = '#include "planted_bug.h"\n'
        sources[file] = (text.replace("#pragma once\n", "#pragma once\n" + line, 1) if file.endswith(".h") else line + text).encode()
    sources["planted_bug.h"] = NUMBER.encode()
    for path, content in sources.items():
        copy = target / path
        if copy.exists() and copy.read_bytes() == content:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        if (ROOT / path).exists():
            shutil.copymode(ROOT / path, copy)


def build(folder):
    """Exit code and output of the build."""
    configure = ["cmake", "-S", str(folder / "src"), "-B", str(folder / "build"), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                 "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache", "-DCMAKE_CXX_FLAGS=-w", "-DSLUICE_LLAMA_CPP=OFF", "-DSLUICE_UCX=OFF"]
    subprocess.run(configure, stdout=subprocess.DEVNULL, check=True)
    command = ["cmake", "--build", str(folder / "build"), "--target", "transport_seeds"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def try_seeds(folder, number, seeds):
    """(how the run ended, the seed that found the bug): `survived` and None for a bug that was not found."""
    command = [str(folder / "build/tests/sim/transport_seeds"), "--first", "1", "--count", str(seeds), "--stop", "1"]
    environment = {**os.environ, SWITCH: str(number)}
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_AFTER_S, check=False, env=environment)
    except subprocess.TimeoutExpired:
        return "hangs", None
    if run.returncode == 0:
        return "survived", None
    first = re.search(r"^seed ([0-9]+): (.*)$", run.stdout + run.stderr, re.MULTILINE)
    return (first.group(2), int(first.group(1))) if first else (f"ended with {run.returncode}", None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10000)
    parser.add_argument("--only", default="", help="only those whose name has this in it")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/mutants")
    options = parser.parse_args()
    mutants = read_mutants(LIST.read_text(encoding="utf-8"))
    try:
        write_sources(options.folder / "src", mutants)
    except (BadList, OSError, KeyError) as fault:
        print(f"mutants: {fault}", file=sys.stderr)
        return 2
    built = build(options.folder)
    if built.returncode != 0 or try_seeds(options.folder, 0, 200)[0] != "survived":
        print(f"{built.stdout[-3000:]}\nmutants: the sources as they are do not build or break a law", file=sys.stderr)
        return 1
    found, needed = 0, []
    chosen = [(number, mutant[0]) for number, mutant in enumerate(mutants, start=1) if options.only in mutant[0]]
    for number, name in chosen:
        verdict, seed = try_seeds(options.folder, number, options.seeds)
        found += verdict != "survived"
        needed += [] if seed is None else [seed]
        print(f"{name}: {verdict if seed is None else f'found by seed {seed}: {verdict}'}", flush=True)
    if needed:
        print(f"seeds that were needed: median {statistics.median(needed):.0f}, most {max(needed)}")
    print(f"{found} of {len(chosen)} mutants found ({100 * found / max(len(chosen), 1):.1f} %)")
    return 0 if found == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
