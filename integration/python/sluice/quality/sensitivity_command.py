"""The command `sensitivity`: measures what a profile's levels really cost in KL, on texts of the calibration's kinds, and writes the
curve that `sluice codec calibrate --sensitivity` reads, so that a level's name keeps its promise. No held-out text is touched.
"""

import json
import pathlib

import numpy as np


def add_sensitivity(commands):
    command = commands.add_parser("sensitivity", help="measured KL over step, for `sluice codec calibrate --sensitivity`")
    command.add_argument("out", metavar="S.json")
    command.add_argument("--model", default="smollm2", help="GGUF file, model folder, or a name: smollm2, gemma3 (smollm2)")
    command.add_argument("--tier", type=int, choices=(1, 2, 3), default=2)
    command.add_argument("--program", help="the program sluice (of build/release)")
    command.set_defaults(run=run_sensitivity)


def curve_of(levels, results, tier):
    """Points by rising step; KL made to rise with it, since the reader asks for that and noise can break it."""
    points = []
    for name, entry in levels.items():
        kl = np.concatenate([score.kl for _, score in results[name]])
        points.append({"tier": tier, "step": entry["step"], "kl_mean": float(kl.mean()), "kl_p99": float(np.quantile(kl, 0.99))})
    points.sort(key=lambda point: point["step"])
    distinct = [point for number, point in enumerate(points) if not number or point["step"] > points[number - 1]["step"]]
    for before, after in zip(distinct, distinct[1:]):
        for key in ("kl_mean", "kl_p99"):
            after[key] = max(after[key], before[key])
    return distinct


def run_sensitivity(options):
    from sluice.quality import calibration, loading, measure, sluice_program, texts, trials
    path = loading.model_path(options.model)
    model, loaded = loading.fingerprint(path), loading.load_model(options.model)
    material = calibration.ensure(model, loaded, texts.CALIBRATION)
    program = sluice_program.Program(options.program)
    profile, told = sluice_program.calibrated(program, options.tier, material)
    levels = sluice_program.whole_levels(told["levels"])
    schemes = {name: sluice_program.Sluice(program, f"T{options.tier}", name, profile) for name in levels}
    judged = trials.text_trials(loaded[1], texts.TUNING, calibration.CONTEXT, calibration.FOLLOWING)
    measured = measure.measure(loaded[0], measure.Ledger(model), judged, list(schemes.values()))
    curve = curve_of(levels, {name: measured[scheme.name] for name, scheme in schemes.items()}, options.tier)
    pathlib.Path(options.out).write_text(json.dumps({"curve": curve}, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}: {len(curve)} points of tier {options.tier}")
    return 0
