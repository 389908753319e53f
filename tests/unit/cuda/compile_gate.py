#!/usr/bin/env python3
"""Compiles every kernel for sm_80, sm_90 and sm_100: warnings are errors, nothing may spill, and registers and stack of each kernel stay
within budget.json. Compiled, not run on a GPU. Exit 77 where there is no nvcc that knows sm_100.  compile_gate.py [--json]"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "kernels/cuda").glob("*.cu"))
BUDGET = pathlib.Path(__file__).with_name("budget.json")
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
FLAGS = ["-std=c++20", "--expt-relaxed-constexpr", "-O3", "-cubin", "-Werror", "all-warnings", "-Xptxas", "-v,--warn-on-spills,-Werror"]
FUNCTION = re.compile(r"Function properties for (\S+)\n\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
                      r".*?Used (\d+) registers", re.DOTALL)
EXIT_SKIPPED = 77


def compiled(nvcc, source, architecture, folder):
    """{kernel: {registers, stack_bytes, spill_bytes}} of one source. Errors: SystemExit with the compiler's words."""
    ran = subprocess.run([nvcc, *FLAGS, f"-arch={architecture}", f"-I{ROOT}", "-o", f"{folder}/{source.stem}.cubin", str(source)],
                         capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"{source.name} does not compile for {architecture}:\n{ran.stdout}{ran.stderr}")
    return {name: {"registers": int(registers), "stack_bytes": int(stack), "spill_bytes": int(stores) + int(loads)}
            for name, stack, stores, loads, registers in FUNCTION.findall(ran.stdout + ran.stderr)}


def problems_of(kernel, used, budget):
    if kernel not in budget:
        yield f"{kernel} has no budget: add it to {BUDGET.name}"
        return
    if used["spill_bytes"]:
        yield f"{kernel} spills {used['spill_bytes']} bytes"
    for what, most in budget[kernel].items():
        if used[what] > most:
            yield f"{kernel} uses {used[what]} {what}, its budget is {most}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    nvcc = shutil.which("nvcc")
    known = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=False).stdout if nvcc else ""
    if "compute_100" not in known:
        print("skipped: no nvcc that compiles for sm_100 (CUDA 12.8 or newer)")
        return EXIT_SKIPPED
    budget = json.loads(BUDGET.read_text(encoding="utf-8"))
    rows, problems = [], []
    with tempfile.TemporaryDirectory(prefix="sluice-nvcc-") as folder:
        for architecture in ARCHITECTURES:
            seen = {}
            for source in SOURCES:
                seen.update(compiled(nvcc, source, architecture, folder))
            problems += [f"{architecture}: {name} is budgeted but was not compiled" for name in budget if name not in seen]
            for kernel, used in sorted(seen.items()):
                rows.append({"architecture": architecture, "kernel": kernel, **used})
                problems += [f"{architecture}: {problem}" for problem in problems_of(kernel, used, budget)]
    if options.json:
        print(json.dumps({"problems": len(problems), "kernels": rows}))
    else:
        for row in rows:
            print(f"{row['architecture']:7} {row['kernel']:26} {row['registers']:3} registers {row['stack_bytes']:3} bytes stack {row['spill_bytes']:3} spilled")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
