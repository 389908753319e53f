"""Profiles of a model as a user would make them: calibrated, then measured on other texts of the calibration's kinds, so that the damage
that a level states is true. Kept in the cache folder. No held-out text is touched.
"""

import json
import sys

import numpy as np

from sluice.quality import calibration, measure, sluice_program, texts, trials
from sluice.quality.environment import quality_folder


def calibrated(program, tier, material):
    """Path of what `sluice codec calibrate` makes of this tier number; its damage is predicted."""
    folder = quality_folder() / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{material.identity}-{program.identity}-t{tier}.slp"
    if not path.exists():
        print(f"  calibrating tier {tier} on {len(material.paths)} dumps", file=sys.stderr, flush=True)
        program.run("calibrate", "--out", path, "--tier", tier, "--kv", *material.paths)
    return path


def curve_of(program, tier, profile, results):
    """Points by rising step, of single levels and, where they were measured, of nested stages; KL made to rise with the step, since the
    reader asks for that and noise can break it. results: scheme name to [(bits per value, Score)]."""
    points = []
    for level, promises in sluice_program.levels_of(program, profile).items():
        for stage, promise in enumerate(promises, 1):
            name = f"Sluice T{tier} {level}" + (f" {stage}" if len(promises) > 1 else "")
            if name not in results:
                continue
            kl = np.concatenate([score.kl for _, score in results[name]])
            points.append({"tier": tier, "step": promise["step"], "stages": len(promises), "kl_mean": float(kl.mean()),
                           "kl_p99": float(np.quantile(kl, 0.99)), "bits_per_value": float(np.mean([bits for bits, _ in results[name]]))})
    points.sort(key=lambda point: (point["stages"], point["step"]))
    kept = []
    for point in points:
        if kept and kept[-1]["stages"] == point["stages"]:
            if point["step"] == kept[-1]["step"]:
                continue
            for key in ("kl_mean", "kl_p99"):
                point[key] = max(point[key], kept[-1][key])
        kept.append(point)
    return kept


def measured_curve(program, tier, material, model, loaded):
    """The curve of the first profile, measured on texts.TUNING. model: its fingerprint; loaded: (Decoder, tokenizer)."""
    profile = calibrated(program, tier, material)
    passages = [passage for passage in texts.TUNING if passage.kind in material.kinds]
    judged = trials.text_trials(loaded[1], passages, calibration.CONTEXT, calibration.FOLLOWING)
    results = measure.measure(loaded[0], measure.Ledger(model), judged, sluice_program.schemes_of(program, f"T{tier}", profile))
    return curve_of(program, tier, profile, results)


def ensure(program, tier, material, model, loaded):
    """Path of the profile that states the measured curve."""
    first = calibrated(program, tier, material)
    path, curve = first.with_suffix(".measured.slp"), first.with_suffix(".curve.json")
    if not path.exists():
        write_curve(curve, measured_curve(program, tier, material, model, loaded))
        program.run("calibrate", "--out", path, "--profile", first, "--sensitivity", curve)
    return path


def write_curve(path, curve):
    path.write_text(json.dumps({"curve": curve}, indent=1) + "\n", encoding="utf-8")
