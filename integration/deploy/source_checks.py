"""The verbs of ./dev that look at sources and need no build: fmt, docs, claims."""

import subprocess
import sys

from phases import Failure


def tracked_files(root, *patterns):
    """The paths, from the root, of the tracked and new files that match the patterns."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise Failure(f"git cannot list the tree's files: {listed.stderr.strip()}")
    return [path for path in sorted(set(listed.stdout.splitlines())) if (root / path).exists()]


def format_tree(root, arguments):
    """clang-format over every C++ file, in place; with --check nothing is written and differences fail."""
    files = tracked_files(root, "*.h", "*.cc")
    mode = ["--dry-run", "--Werror"] if "--check" in arguments else ["-i"]
    status = subprocess.run(["clang-format", *mode, *files], cwd=root, check=False).returncode if files else 0
    print(f"clang-format: {len(files)} files {'differ in places (above)' if status else 'in shape'}")
    return 1 if status else 0


def check_docs(root):
    return subprocess.run([sys.executable, "tests/arch/check_tree.py", "--only", "docs"], cwd=root, check=False).returncode


def run_claims(root, arguments):
    return subprocess.run([sys.executable, "tests/claims/run_claims.py", *arguments], cwd=root, check=False).returncode
