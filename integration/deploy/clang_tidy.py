"""clang-tidy over every file of a compile database, in parallel, without compiling.

A file in which nothing was found is not looked at again until it, a header of ours that it includes, its command, the checks or
clang-tidy itself change; so a stopped run goes on where it was.
"""

import concurrent.futures
import hashlib
import json
import pathlib
import shlex
import subprocess

TOOL = "clang-tidy"


def check_tree(root, folder, jobs, report=print):
    """Checks the files of folder/compile_commands.json and returns how many have findings, each printed once.

    jobs: processes at a time. report: called with the lines of findings and progress, from this thread.
    """
    clean = folder / "clean"
    clean.mkdir(exist_ok=True)
    checks = (root / ".clang-tidy").read_bytes() + subprocess.run([TOOL, "--version"], capture_output=True, check=True).stdout
    # A file compiled twice (into two libraries) is looked at once.
    entries = {entry["file"]: entry for entry in json.loads((folder / "compile_commands.json").read_text(encoding="utf-8"))}
    shown, faulty = set(), 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(check_file, entry, clean, checks): path for path, entry in entries.items()}
        try:
            for done, future in enumerate(concurrent.futures.as_completed(running), 1):
                findings = future.result()
                faulty += findings is not None
                fresh = [line for line in (findings or "").splitlines() if line not in shown]
                shown.update(line for line in fresh if "error:" in line)
                report("\n".join([*fresh, f"[{done}/{len(entries)}] {pathlib.Path(running[future]).relative_to(root)}"]))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return faulty


def check_file(entry, clean, checks):
    """None when nothing is found in the file of one entry of the database, else what clang-tidy says."""
    stamp = clean / digest(entry, checks)
    if stamp.exists():
        return None
    command = [TOOL, "--quiet", "--warnings-as-errors=*", "-p", str(clean.parent), entry["file"]]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode == 0:
        stamp.touch()
        return None
    return outcome.stdout or outcome.stderr


def digest(entry, checks):
    """Names all that a file's findings depend on; the system's headers are taken as they are."""
    words = shlex.split(entry["command"])
    output = words.index("-o")
    preprocess = [*words[:output], *words[output + 2 :], "-MM"]
    listed = subprocess.run(preprocess, cwd=entry["directory"], capture_output=True, text=True, check=False).stdout
    total = hashlib.sha256(checks + entry["command"].encode())
    for name in listed.replace("\\\n", " ").split()[1:]:
        total.update((pathlib.Path(entry["directory"]) / name).read_bytes())
    return total.hexdigest()
