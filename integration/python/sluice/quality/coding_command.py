"""The commands `rate` and `nesting`: how well sizes are known before coding, and what nested stages cost against one of the same quality.
Both on the caches of held-out texts, by the program itself. The second judges by mean square error, not by KL: stage and single code share
a profile, so their errors are shaped alike, and what is compared is bits at the same error.
"""

import json
import pathlib
import tempfile

import numpy as np

STAGES = (1, 2, 3)


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


def with_profile(profile):
    return [] if profile is None else ["--profile", profile]


def rate_of(program, paths, profile):
    errors = []
    for path in paths:
        told = json.loads(program.run("rate", path, *with_profile(profile), "--format", "json"))
        errors += [error for level in told["levels"] for error in level["errors"]]
    return {"parts": len(errors), "error_median": float(np.median(errors)), "error_p99": float(np.quantile(errors, 0.99)),
            "error_max": max(errors)}


def run_rate(options):
    rows = over_tiers(options, rate_of)
    if options.json:
        print(json.dumps({"tiers": rows}, indent=1))
    else:
        for row in rows:
            print(f"{row['model']} {row['tier']}: {row['parts']} parts, error median {row['error_median']:.2%}, "
                  f"p99 {row['error_p99']:.2%}, max {row['error_max']:.2%}")
    return 0


def plain_nesting(program, paths):
    """T0: the program codes both ways; they decode alike."""
    told = [json.loads(program.run("rate", path, "--format", "json"))["nesting"] for path in paths]
    nested, single = (np.sum([one[name] for one in told], 0) for name in ("nested_bytes", "single_bytes"))
    return {"overhead_percent": [round(100 * (a / b - 1), 3) for a, b in zip(nested.tolist(), single.tolist())]}


def error_of(given, back):
    """Mean square error over energy, of K and V alike."""
    from sluice.quality import safetensors_file
    (wanted, _), (found, _) = safetensors_file.read(given), safetensors_file.read(back)
    parts = [(np.asarray(wanted[name], np.float32), np.asarray(found[name], np.float32)) for name in "kv"]
    return sum(float(np.square(a - b).mean() / np.square(a - a.mean((1, 2), keepdims=True)).mean()) for a, b in parts) / 2


def nesting_of(program, paths, profile):
    """With a profile: bits of single levels at the error of every prefix of stages, read between levels on a line of bits over log error."""
    if profile is None:
        return plain_nesting(program, paths)
    from sluice.quality import sluice_program
    levels = sluice_program.levels_of(program, profile)
    nested = next(level for level, stages in levels.items() if len(stages) == len(STAGES))
    sums = np.zeros((2, len(STAGES)))
    for path in paths:
        sent, back = path.with_suffix(".slk"), path.with_suffix(".back")

        def coded(level, stages):
            program.run("encode", path, sent, "--level", level, "--profile", profile, "--stages", stages)
            program.run("decode", sent, back, "--profile", profile)
            return np.log(error_of(path, back)), sent.stat().st_size

        singles = sorted(coded(level, 1) for level, stages in levels.items() if len(stages) == 1)
        for number, stages in enumerate(STAGES):
            error, size = coded(nested, stages)
            if not singles[0][0] <= error <= singles[-1][0]:
                raise ValueError(f"stage {stages} lies beyond the single levels of {profile}")
            sums[:, number] += size, np.interp(error, *np.transpose(singles))
    return {"overhead_percent": [round(100 * (a / b - 1), 3) for a, b in sums.T.tolist()]}


def run_nesting(options):
    rows = over_tiers(options, nesting_of)
    for row in rows:
        row["all_stages_percent"] = row["overhead_percent"][-1]
    if options.json:
        print(json.dumps({"tiers": rows}, indent=1))
    else:
        for row in rows:
            print(f"{row['model']} {row['tier']}: " + ", ".join(f"{n} stages {more:+.2f} %" for n, more in zip(STAGES, row["overhead_percent"])))
    return 0
