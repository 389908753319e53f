"""`./dev bench transport`: `sluice bench transport` beside NIXL and Mooncake, whose wheels of pinned hashes are unpacked into the cache.

Nothing is installed. Debian's /usr/bin/python3 runs them, with Debian's numpy. A peer that does not start on this machine is left out,
with its own last words on standard error.
"""

import json
import os
import pathlib
import subprocess
import sys

import quality_environment

WHEELS = ("nixl-cu13", "mooncake-transfer-engine-non-cuda")
NAMES = ("nixl", "nixl-tuned", "nixl-tcp", "nixl-tcp-tuned", "mooncake", "mooncake-tuned")
PACKAGE = "integration/python/sluice/transport_peers"


def ensure(artifacts, cache):
    """The folder of the unpacked wheels. Errors: those of package_index."""
    return quality_environment.ensure_wheels([artifacts[name] for name in WHEELS], cache / "transport-peers/wheels")


def run(root, program, wheels, arguments):
    """Runs the bench; with --write FILE its page is made as well. --peers NAME,NAME takes only those. Returns the exit code."""
    page, names = None, NAMES
    if "--peers" in arguments:
        at = arguments.index("--peers")
        names = arguments[at + 1].split(",")
        arguments = arguments[:at] + arguments[at + 2:]
    if "--write" in arguments:
        at = arguments.index("--write")
        page = pathlib.Path(arguments[at + 1])
        arguments = arguments[:at] + arguments[at + 2:]
    words = [*(["--peers", ",".join(names)] if names is not NAMES else []), *arguments]
    peers = [word for name in names for word in ("--peer", f"{quality_environment.PYTHON} {root / PACKAGE} {wheels} {name}")]
    command = [str(program), *(["--format", "json"] if page else []), "bench", "transport", *peers, *arguments]
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    if page is None:
        return subprocess.run(command, env=environment, check=False).returncode
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if not ended.stdout.strip():
        return ended.returncode or 1
    result = json.loads(ended.stdout)
    page.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    page.write_text(page_of(result, " ".join(words)), encoding="utf-8")
    print(f"written: {page} and {page.with_suffix('.json')}", file=sys.stderr)
    return ended.returncode


def cell(row, key, digits):
    return f"{row[key]['median']:.{digits}f} ± {row[key]['spread']:.{digits}f}" if key in row else "-"


def page_of(result, words):
    lines = ["# Transports, measured", "",
             f"Made by `./dev bench transport {words} --write docs/benchmarks/transport.md`; the numbers are in transport.json beside it.", "",
             f"**{result['link'][:1].upper() + result['link'][1:]}.** Two processes on one host of {result['cores']} virtual cores; {result['rounds']} rounds of "
             f"{result['transfers_per_round']} transfers each, all contestants in turns within each round, in another order each time. Medians ± half",
             "the distance between quartiles. 128 MiB of payload go round, so that each transfer takes cold bytes; every byte is compared afterwards",
             f"({'all were right' if result['all_bytes_right'] else 'SOME WERE WRONG'}). CPU is that of both processes, waiting included. Sluice's digests are on; nobody else has any.",
             "Trust ratios within this page, not digits.", "",
             "- fragments: 16 MiB in pieces of 4 KiB, gathered and scattered in random order. Sluice gathers 256 into a part (its encoder's output is",
             "  contiguous anyway) and scatters them from the slot; NIXL and Mooncake get one descriptor a fragment, as a paged cache has them.",
             "- chunks: 16 parts of 1 MiB. Sluice's end in the verified slot, where the decoder reads them; the others' in their place.",
             "- round trip: 64 KiB there and 64 KiB back.", "",
             "memcpy: one thread, one process. ring: a bare shared ring, two copies, no digests. sockets: blocking TCP, gathered and scattered.",
             "nixl, mooncake: as their wheels come; -tuned: the best settings we know (others may know better).", "",
             "| transport | fragments GB/s | CPU s/GB | chunks GB/s | CPU s/GB | round trip us | CPU s/GB |", "|---|---|---|---|---|---|---|"]
    by_name = {}
    for row in result["rows"]:
        by_name.setdefault(row["transport"], {})[row["shape"]] = row
    for name, shapes in by_name.items():
        cells = []
        for shape, key, digits in (("fragments", "gb_per_s", 2), ("chunks", "gb_per_s", 2), ("round_trip", "round_trip_us", 1)):
            row = shapes.get(shape, {})
            failed = row.get("failure")
            cells += ["fails" if failed else cell(row, key, digits), "-" if failed else cell(row, "cpu_seconds_per_gb", 3)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"Idle, a connected pair of Sluice takes {result['idle_cpu_percent_per_pair']:.2f} % of a core, both sides together (heartbeats of 100 ms).", ""]
    return "\n".join(lines)
