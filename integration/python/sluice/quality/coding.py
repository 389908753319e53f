"""What `rate` and `nesting` measure on caches in files, by the program itself. Nesting is judged by mean square error, not by KL: stage and
single code share a profile, or have none, so their errors are shaped alike, and what is compared is bits at the same error, read between
single codes on a line of bits over log error.
"""

import json

import numpy as np

from sluice.quality import safetensors_file, sluice_program

STAGES = (1, 2, 3)


def with_profile(profile):
    return [] if profile is None else ["--profile", profile]


def rate_of(program, paths, profile):
    errors = []
    for path in paths:
        told = json.loads(program.run("rate", path, *with_profile(profile), "--format", "json"))
        errors += [error for level in told["levels"] for error in level["errors"]]
    return {"parts": len(errors), "error_median": float(np.median(errors)), "error_p99": float(np.quantile(errors, 0.99)),
            "error_max": max(errors)}


def plain_nesting(program, paths):
    """T0: the program codes both ways. Errors of K and V count alike: each is taken in units of the coarsest single code's."""
    told = [json.loads(program.run("rate", path, "--format", "json"))["nesting"] for path in paths]
    sums = np.zeros((2, len(STAGES)))
    for one in told:
        unit = np.array(one["single"][0]["square_errors"])
        nested, single = ([(np.log(np.sum(cost["square_errors"] / unit)), cost["bytes"]) for cost in one[name]] for name in ("nested", "single"))
        for stage, (error, size) in enumerate(nested):
            sums[:, stage] += size, size_at(error, single)
    return overhead(sums)


def size_at(error, singles):
    """Bytes of single codes, [(log error, bytes)] of any order, at an error between the first and the last."""
    singles = sorted(singles)
    slack = 1e-3 * (singles[-1][0] - singles[0][0])
    if not singles[0][0] - slack <= error <= singles[-1][0] + slack:
        raise ValueError("a stage's error lies beyond the single codes'")
    return np.interp(error, *np.transpose(singles))


def overhead(sums):
    """Percent by stage, of [nested, single][stages] bytes."""
    return {"overhead_percent": [round(100 * (a / b - 1), 3) for a, b in sums.T.tolist()]}


def error_of(given, back):
    """Mean square error over energy, of K and V alike."""
    (wanted, _), (found, _) = safetensors_file.read(given), safetensors_file.read(back)
    parts = [(np.asarray(wanted[name], np.float32), np.asarray(found[name], np.float32)) for name in "kv"]
    return sum(float(np.square(a - b).mean() / np.square(a - a.mean((1, 2), keepdims=True)).mean()) for a, b in parts) / 2


def nesting_of(program, paths, profile):
    """With a profile: every prefix of the nested level's stages against the single levels."""
    if profile is None:
        return plain_nesting(program, paths)
    levels = sluice_program.levels_of(program, profile)
    nested = next(level for level, stages in levels.items() if len(stages) == len(STAGES))
    sums = np.zeros((2, len(STAGES)))
    for path in paths:
        sent, back = path.with_suffix(".slk"), path.with_suffix(".back")

        def coded(level, stages):
            program.run("encode", path, sent, "--level", level, "--profile", profile, "--stages", stages)
            program.run("decode", sent, back, "--profile", profile)
            return np.log(error_of(path, back)), sent.stat().st_size

        singles = [coded(level, 1) for level, stages in levels.items() if len(stages) == 1]
        for number, stages in enumerate(STAGES):
            error, size = coded(nested, stages)
            sums[:, number] += size, size_at(error, singles)
    return overhead(sums)
