"""What `rate` and `nesting` measure on caches in files, by the program itself. Nesting is judged by mean square error, not by KL: stage and
single code share a profile, so their errors are shaped alike, and what is compared is bits at the same error.
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
    """T0: the program codes both ways; they decode alike."""
    told = [json.loads(program.run("rate", path, "--format", "json"))["nesting"] for path in paths]
    nested, single = (np.sum([one[name] for one in told], 0) for name in ("nested_bytes", "single_bytes"))
    return {"overhead_percent": [round(100 * (a / b - 1), 3) for a, b in zip(nested.tolist(), single.tolist())]}


def error_of(given, back):
    """Mean square error over energy, of K and V alike."""
    (wanted, _), (found, _) = safetensors_file.read(given), safetensors_file.read(back)
    parts = [(np.asarray(wanted[name], np.float32), np.asarray(found[name], np.float32)) for name in "kv"]
    return sum(float(np.square(a - b).mean() / np.square(a - a.mean((1, 2), keepdims=True)).mean()) for a, b in parts) / 2


def nesting_of(program, paths, profile):
    """With a profile: bits of single levels at the error of every prefix of stages, read between levels on a line of bits over log error."""
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

        singles = sorted(coded(level, 1) for level, stages in levels.items() if len(stages) == 1)
        for number, stages in enumerate(STAGES):
            error, size = coded(nested, stages)
            if not singles[0][0] <= error <= singles[-1][0]:
                raise ValueError(f"stage {stages} lies beyond the single levels of {profile}")
            sums[:, number] += size, np.interp(error, *np.transpose(singles))
    return {"overhead_percent": [round(100 * (a / b - 1), 3) for a, b in sums.T.tolist()]}
