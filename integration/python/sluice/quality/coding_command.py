"""The commands `rate` and `nesting`: how well sizes are known before coding, and what nested stages cost against one of the same quality.
Both on the caches of held-out texts, by the program itself; coding.py measures.
"""

import json
import pathlib
import tempfile


def add_rate(commands):
    add(commands, "rate", "error of sizes that are told before coding", run_rate, "T0,T1,T2,T3")


def add_nesting(commands):
    add(commands, "nesting", "what nested stages cost against a single one of the same error", run_nesting, "T0,T1,T2")


def add(commands, name, text, run, tiers):
    command = commands.add_parser(name, help=text)
    command.add_argument("--model", action="append", help="GGUF file, model folder, or a name: smollm2, gemma3; may repeat (smollm2)")
    command.add_argument("--texts", type=int, help="only so many of the held-out texts")
    command.add_argument("--tiers", default=tiers, help=f"of Sluice ({tiers})")
    command.add_argument("--profile", action="append", default=[], metavar="TIER=P.slp", help="a profile made elsewhere; may repeat")
    command.add_argument("--program", help="the program sluice (of build/release)")
    command.add_argument("--json", action="store_true", help="as JSON")
    command.set_defaults(run=run)


def over_tiers(options, measure):
    """[{model, tier, **measure(program, paths of caches, profile or None)}] of every model and tier."""
    from sluice.quality import calibration, judge, loading, profiles, sluice_program, texts, trials
    program, out = sluice_program.Program(options.program), []
    given = dict(pair.split("=", 1) for pair in options.profile)
    for name in options.model or ["smollm2"]:
        loaded = loading.load_model(name)
        chosen = trials.text_trials(loaded[1], texts.HELD_OUT[:options.texts], calibration.CONTEXT, calibration.FOLLOWING)
        with tempfile.TemporaryDirectory(dir=sluice_program.scratch()) as folder:
            paths = []
            for number, trial in enumerate(chosen):
                paths.append(pathlib.Path(folder) / f"{number}.safetensors")
                sluice_program.write_cache(paths[-1], judge.Judge(loaded[0], trial).cache, "F16")
            for tier in options.tiers.split(","):
                profile = given.get(tier)
                if tier != "T0" and profile is None:
                    material = calibration.ensure(loading.fingerprint(loading.model_path(name)), loaded, texts.CALIBRATION)
                    profile = profiles.calibrated(program, int(tier[1:]), material)
                out.append({"model": name, "tier": tier} | measure(program, paths, profile))
    return out


def run_rate(options):
    from sluice.quality import coding
    rows = over_tiers(options, coding.rate_of)
    if options.json:
        print(json.dumps({"tiers": rows}, indent=1))
    else:
        for row in rows:
            print(f"{row['model']} {row['tier']}: {row['parts']} parts, error median {row['error_median']:.2%}, "
                  f"p99 {row['error_p99']:.2%}, max {row['error_max']:.2%}")
    return 0


def run_nesting(options):
    from sluice.quality import coding
    rows = over_tiers(options, coding.nesting_of)
    for row in rows:
        row["all_stages_percent"] = row["overhead_percent"][-1]
    if options.json:
        print(json.dumps({"tiers": rows}, indent=1))
    else:
        for row in rows:
            print(f"{row['model']} {row['tier']}: " + ", ".join(f"{n} stages {more:+.2f} %" for n, more in zip(coding.STAGES, row["overhead_percent"])))
    return 0
