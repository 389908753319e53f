#!/usr/bin/env python3
"""Mutation audit of the simulated cluster: plants each bug of mutants.txt alone into a copy of the sources, builds transport_seeds there
and expects it to break a law, crash or hang within the budget of seeds.

  mutants.py [--seeds 10000] [--only TEXT] [--folder build/mutants]     prints a line for each, then the share that was found"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = ROOT / "tests/sim/mutants.txt"
HANGS_AFTER_S = 300


class BadList(Exception):
    """An entry of mutants.txt does not fit the sources."""


def read_mutants(text):
    """[(name, file, as it is, as the bug has it)]. Errors: BadList for one whose text does not stand once in its file."""
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    mutants = []
    for block in re.split(r"\n\n(?=[^\n]+\n[a-z_/]+\.cc\n)", body.strip("\n")):
        name, file, rest = block.split("\n", 2)
        old, _, new = rest.partition("\n=>\n")
        if (ROOT / file).read_text(encoding="utf-8").count(old) != 1:
            raise BadList(f"{name}: its text does not stand once in {file}")
        mutants.append((name, file, old, new))
    return mutants


def copy_tree(target):
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for path in listed.stdout.splitlines():
        source, copy = ROOT / path, target / path
        if not source.is_file() or (copy.exists() and copy.read_bytes() == source.read_bytes()):
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy)


def build(folder):
    """True when it was built."""
    command = ["cmake", "--build", str(folder / "build"), "--target", "transport_seeds"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def try_seeds(folder, seeds):
    """How the run ended: `found ...` or `survived`."""
    command = [str(folder / "build/tests/sim/transport_seeds"), "--first", "1", "--count", str(seeds), "--stop", "1"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_AFTER_S, check=False)
    except subprocess.TimeoutExpired:
        return "found: hangs"
    if run.returncode == 0:
        return "survived"
    first = re.search(r"^seed ([0-9]+): (.*)$", run.stdout, re.MULTILINE)
    return f"found by seed {first.group(1)}: {first.group(2)}" if first else f"found: ended with {run.returncode}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10000)
    parser.add_argument("--only", default="", help="only those whose name has this in it")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/mutants")
    options = parser.parse_args()
    try:
        mutants = [mutant for mutant in read_mutants(LIST.read_text(encoding="utf-8")) if options.only in mutant[0]]
    except (BadList, OSError) as fault:
        print(f"mutants: {fault}", file=sys.stderr)
        return 2
    copy_tree(options.folder / "src")
    configure = ["cmake", "-S", str(options.folder / "src"), "-B", str(options.folder / "build"), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                 "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache", "-DCMAKE_CXX_FLAGS=-w", "-DSLUICE_LLAMA_CPP=OFF"]
    subprocess.run(configure, stdout=subprocess.DEVNULL, check=True)
    if not build(options.folder) or try_seeds(options.folder, 200) != "survived":
        print("mutants: the sources as they are do not build or break a law", file=sys.stderr)
        return 1
    found = 0
    for name, file, old, new in mutants:
        place = options.folder / "src" / file
        source = place.read_text(encoding="utf-8")
        place.write_text(source.replace(old, new), encoding="utf-8")
        verdict = try_seeds(options.folder, options.seeds) if build(options.folder) else "does not build"
        place.write_text(source, encoding="utf-8")
        found += verdict.startswith("found")
        print(f"{name}: {verdict}", flush=True)
    print(f"{found} of {len(mutants)} mutants found ({100 * found / max(len(mutants), 1):.1f} %)")
    return 0 if found == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
