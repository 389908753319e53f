"""The command `page`: measures everything that docs/benchmarks/quality.md shows, run by run, and writes the page. Results are kept in the
cache folder, so that a second call goes on where the first one was stopped, and costs little when nothing is new.
"""

import argparse
import json
import sys

MAIN_PEERS = "Sluice,q8_0,q4_0,CacheGen as shipped,CacheGen paper,TurboQuant 4"
# Words of `compare`, most wanted first.
RUNS = {
    "smollm2": "--model smollm2 --suite text --texts 6",
    "gemma3": "--model gemma3 --suite text --texts 6",
    "needle": f"--model smollm2 --suite needle --only {MAIN_PEERS}",
    "copy": f"--model smollm2 --suite copy --texts 6 --only {MAIN_PEERS}",
    "key-biases": f"--model smollm2 --suite text --texts 6 --key-biases --only {MAIN_PEERS}",
    "cross-domain": f"--model smollm2 --suite text --texts 6 --calibrate-on jargon --only {MAIN_PEERS}",
    "gemma3-needle": f"--model gemma3 --suite needle --only {MAIN_PEERS}",
    "gemma3-copy": f"--model gemma3 --suite copy --texts 6 --only {MAIN_PEERS}",
}


def add_page(commands):
    command = commands.add_parser("page", help="measures all that docs/benchmarks/quality.md shows, and writes it; goes on where it was stopped")
    command.add_argument("--run", dest="chosen", action="append", choices=tuple(RUNS), help="only this run, and the page of all that are measured; may repeat")
    command.add_argument("--program", help="the program sluice (of build/release)")
    command.add_argument("--out", default="docs/benchmarks/quality.md")
    command.set_defaults(run=run_page)


def words_of(run):
    """A run's words, --only's commas and blanks kept in one."""
    before, marker, wanted = RUNS[run].partition(" --only ")
    return before.split() + ([marker.strip(), wanted] if marker else [])


def run_page(options):
    from sluice.quality import compare_command
    from sluice.quality.environment import quality_folder
    parser = argparse.ArgumentParser()
    compare_command.add_compare(parser.add_subparsers())
    folder = quality_folder() / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    for run in options.chosen or RUNS:
        print(f"page: {run}", file=sys.stderr, flush=True)
        words = parser.parse_args(["compare", *words_of(run), *(["--program", options.program] if options.program else [])])
        document = compare_command.strict(compare_command.one_model(words, words.model[0]))
        (folder / f"{run}.json").write_text(json.dumps({"reports": [document]}, allow_nan=False), encoding="utf-8")
    measured = [folder / f"{run}.json" for run in RUNS if (folder / f"{run}.json").exists()]
    return compare_command.run_report(argparse.Namespace(reports=measured, out=options.out))
