"""Runs the commands of the documents: every line of a ```sh run block, with `sluice` from the build; and checks the others' words.

A block marked ```sh (without run) needs a model, a second terminal or root; of its commands only the names and the options
are checked, against `sluice COMMAND --help`. Usage: run_commands.py PATH_OF_SLUICE [DOCUMENT...]. Exit 1 names each line that failed.
"""

import itertools
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh( run)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 60


def commands(text):
    """(line number, is to be run, command) of each command in the document; a backslash joins lines."""
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(2)) + 1
        pending, first = "", line
        for number, row in enumerate(block.group(2).splitlines(), line):
            first = first if pending else number
            pending += row.removesuffix("\\")
            if row.endswith("\\") or not pending.strip():
                continue
            yield first, bool(block.group(1)), pending.strip()
            pending = ""


def run(command, program):
    """None, or what went wrong."""
    environment = dict(os.environ, PATH=f"{program.parent}:{os.environ['PATH']}")
    try:
        done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
                              check=False)
    except subprocess.TimeoutExpired:
        return f"did not end within {TIMEOUT_S} s"
    return None if done.returncode == 0 else f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"


def check_words(command, program):
    """None, or which option the command does not have."""
    words = shlex.split(command)
    if words[0] != "sluice":
        return None
    names = list(itertools.takewhile(str.isalpha, words[1:]))  # a command, perhaps with its verb
    shown = subprocess.run([program, *names, "--help"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    command = " ".join(["sluice", *names])
    if shown.returncode != 0:
        return f"'{command}' is no command"
    missing = [word for word in words if word.startswith("--") and word.split("=")[0] not in shown.stdout]
    return f"'{command}' has no {', '.join(missing)}" if missing else None


def main(arguments):
    program = pathlib.Path(arguments[0]).resolve()
    documents = [pathlib.Path(path) for path in arguments[1:]] or [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    failed = total = 0
    for document in documents:
        for line, is_run, command in commands(document.read_text(encoding="utf-8")):
            total += 1
            problem = run(command, program) if is_run else check_words(command, program)
            if problem:
                failed += 1
                print(f"{document.name}:{line}: {command}: {problem}")
    print(f"{total} commands in {len(documents)} documents, {failed} failed")
    return 1 if failed or not total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
